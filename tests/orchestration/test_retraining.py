"""The snapshot that a challenger is made in, and what it starts from."""

from __future__ import annotations

import configparser
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from data_checks.drift import CODES, NEW_ITEMS
from orchestration import snapshot
from orchestration.defs import retraining as defined
from orchestration.dvc_project import PROJECT, Project
from orchestration.retraining import Retraining, remove_old
from orchestration.snapshot import COMPLETE
from s2gr.alerts import Alert, outbox
from s2gr.errors import UserError
from s2gr.manifest import verified
from s2gr.params import Params, load_params
from s2gr.publish.publishing import Verdict, publish
from s2gr.publish.versions import current_version, version_names
from s2gr.sources.folder import candidates
from s2gr.workspace import Workspace

MadeWith = Callable[..., Params]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in which nothing has run yet."""
    root = tmp_path / "project"
    snapshot.copy_parts(PROJECT.root, root, ("s2gr", "data_checks", "dvc.yaml", ".dvcignore", "params.yaml"))
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text("[core]\n    remote = local\n['remote \"local\"']\n    url = ../.dvc-remote\n")
    (root / ".dvc/config.local").write_text(
        "['remote \"s3\"']\n    url = s3://bucket/path\n    secret_access_key = k\n"
    )
    (root / "data/landing").mkdir(parents=True)
    (root / "data/landing/log.csv").write_text("user_id,item_id,timestamp\n")
    return root


@pytest.fixture
def with_champion(project: Path, finished: Workspace, made_with: MadeWith) -> Path:
    """The same, with a published model that was made with the project's parameters."""
    params = made_with()
    publish(finished, params)
    shutil.copytree(finished.published, Workspace(project).published, symlinks=True)
    told = params.model_dump(mode="json")
    told["source"]["path"] = "data/landing"
    (project / "params.yaml").write_text(yaml.safe_dump(told))
    return project


def change(project: Path, section: str, **values: Any) -> None:
    path = project / "params.yaml"
    told = yaml.safe_load(path.read_text())
    told[section] |= values
    path.write_text(yaml.safe_dump(told))


def test_a_snapshot_is_the_project_with_an_overlay_and_is_not_touched_by_edits(project: Path) -> None:
    retraining = Retraining(project, "r1")
    assert retraining.begin([])
    copied = (retraining.folder / "s2gr/events/stage.py").read_text()
    (project / "s2gr/events/stage.py").write_text("raise SystemExit\n")
    change(project, "events", k_core=2)
    (project / "data/landing/more.csv").write_text("later\n")
    assert not retraining.begin([])
    assert (retraining.folder / "s2gr/events/stage.py").read_text() == copied
    assert retraining.params == load_params([PROJECT.root / "params.yaml"])
    assert sorted(path.name for path in (retraining.folder / "data/landing").iterdir()) == ["log.csv"]
    assert retraining.project.stages.keys() == Project(project).stages.keys()
    assert not list(retraining.folder.rglob("__pycache__"))


def test_dvc_shares_cache_and_remotes_with_the_project(project: Path) -> None:
    retraining = Retraining(project, "r1")
    retraining.begin([])
    config = configparser.ConfigParser()
    config.read(retraining.folder / ".dvc/config")
    assert config["cache"]["dir"] == str(project / ".dvc/cache")
    assert config["core"]["no_scm"] == "true"
    assert config["'remote \"local\"'"]["url"] == str(project / ".dvc-remote")
    assert config["'remote \"s3\"'"]["url"] == "s3://bucket/path"
    # Its credentials are there: for nobody else.
    assert config["'remote \"s3\"'"]["secret_access_key"] == "k"
    assert (retraining.folder / ".dvc/config").stat().st_mode & 0o777 == 0o600


def test_what_parameters_and_remotes_name_relative_to_the_project_is_found_from_the_copy(project: Path) -> None:
    (project / "models/bert").mkdir(parents=True)
    change(project, "content", frozen="old/content", model="models/bert")
    change(project, "codebook", warm_start="old/codebook")
    change(project, "sids", previous=str(project / "old/sids.parquet"))
    with (project / ".dvc/config.local").open("a") as file:
        file.write("['remote \"ssh\"']\n    url = ssh://host/path\n    keyfile = ../key\n    user = me\n")
    retraining = Retraining(project, "r1")
    retraining.begin([])
    params = retraining.params
    assert params.content.model == str(project / "models/bert")
    assert params.content.frozen == project / "old/content"
    assert params.codebook.warm_start == project / "old/codebook"
    assert params.sids.previous == project / "old/sids.parquet"
    config = configparser.ConfigParser()
    config.read(retraining.folder / ".dvc/config")
    assert dict(config["'remote \"ssh\"'"]) == {
        "url": "ssh://host/path",
        "keyfile": str(project / "key"),
        "user": "me",
    }


def test_a_model_that_is_named_and_no_folder_stays_a_name(project: Path) -> None:
    change(project, "content", model="org/model")
    retraining = Retraining(project, "r1")
    retraining.begin([])
    assert retraining.params.content.model == "org/model"


def test_a_copy_that_was_killed_half_way_is_made_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    retraining = Retraining(project, "r1")

    def die(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "_write_dvc_config", die)
        with pytest.raises(KeyboardInterrupt):
            retraining.begin([])
    assert not retraining.folder.exists()
    assert retraining.begin([])
    assert (retraining.folder / COMPLETE).exists()
    assert not list(retraining.folder.parent.glob(".copy-*"))


def test_what_has_landed_is_linked_and_not_doubled(project: Path) -> None:
    retraining = Retraining(project, "r1")
    retraining.begin([])
    files = (project / "data/landing/log.csv", retraining.folder / "data/landing/log.csv")
    assert os.path.samefile(*files)


def test_where_a_symbolic_link_leads_has_landed_too(project: Path) -> None:
    (project / "raw").mkdir()
    (project / "raw/more.csv").write_text("more\n")
    (project / "data/landing/more.csv").symlink_to("../../raw/more.csv")
    (project / "data/landing/nothing.csv").symlink_to("../../raw/nothing.csv")
    retraining = Retraining(project, "r1")
    retraining.begin([])
    more = retraining.folder / "data/landing/more.csv"
    assert not more.is_symlink()
    assert more.read_text() == "more\n"
    assert not (more.parent / "nothing.csv").is_symlink()


def test_where_a_link_to_a_folder_leads_is_in_the_snapshot_once(project: Path) -> None:
    (project / "raw").mkdir()
    (project / "raw/more.csv").write_text("more\n")
    (project / "raw/back").symlink_to("../data/landing")
    (project / "data/landing/raw").symlink_to("../../raw")
    retraining = Retraining(project, "r1")
    retraining.begin([])
    landing = retraining.folder / "data/landing"
    assert candidates(landing) == [landing / "log.csv", landing / "raw/more.csv"]


@pytest.mark.parametrize("same_file_system", [True, False])
def test_what_is_renamed_while_the_snapshot_is_taken_is_in_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, same_file_system: bool
) -> None:
    landing, link = project / "data/landing", os.link
    (landing / "new").mkdir()
    (landing / "new/more.csv.part").write_text("more\n")

    def late(file: Path, name: Path) -> None:
        if file.suffix == ".part":
            file.rename(file.with_suffix(""))
        if not same_file_system:
            raise OSError(errno.EXDEV, "another file system")
        link(file, name)

    monkeypatch.setattr(os, "link", late)
    retraining = Retraining(project, "r1")
    retraining.begin([])
    assert [path.name for path in (retraining.folder / "data/landing/new").iterdir()] == ["more.csv"]
    assert (retraining.folder / "data/landing/new/more.csv").read_text() == "more\n"
    assert (retraining.folder / "data/landing/log.csv").exists()


def test_invalid_parameters_leave_no_snapshot(project: Path) -> None:
    change(project, "events", k_core=-1)
    with pytest.raises(UserError, match="k_core"):
        Retraining(project, "r1").begin([])
    assert not Retraining(project, "r1").folder.exists()


def test_without_a_champion_everything_is_learned_anew(project: Path) -> None:
    retraining = Retraining(project, "r1")
    retraining.begin([])
    assert retraining.facts["champion"] is None
    assert retraining.params.codebook.warm_start is None


def test_the_challenger_starts_from_the_champions_codebook_and_content_model(with_champion: Path) -> None:
    retraining = Retraining(with_champion, "r1")
    retraining.begin([CODES.name])
    version = current_version(Workspace(with_champion).published)
    params = retraining.params
    assert params.codebook.warm_start == Path(f"champion/{version}/codebook")
    assert params.content.frozen == Path(f"champion/{version}/content")
    assert params.sids.previous == Path(f"champion/{version}/sids.parquet")
    for path in (params.codebook.warm_start, params.content.frozen, params.sids.previous):
        assert (retraining.folder / path).exists()
    assert retraining.facts["signals"] == [CODES.name]
    assert retraining.facts["champion"] == version


@pytest.mark.parametrize(
    ("section", "values", "signals", "reason"),
    [
        ("retraining", {"warm_start": False}, [], "retraining.warm_start is off"),
        ("events", {}, [NEW_ITEMS.name], "new items fit the champion's codebook badly"),
        ("codebook", {"codes": 4}, [], "codebook.codes is 4 now, and was 8"),
        ("content", {"dim": 5}, [], "content.dim is 5 now, and was 6"),
    ],
)
def test_what_does_not_fit_or_is_the_trouble_is_learned_anew(
    with_champion: Path, section: str, values: dict[str, Any], signals: list[str], reason: str
) -> None:
    change(with_champion, section, **values)
    retraining = Retraining(with_champion, "r1")
    retraining.begin(signals)
    assert retraining.params.codebook.warm_start is None
    assert retraining.params.content.frozen is None
    # Churn is reported all the same.
    assert retraining.params.sids.previous is not None
    assert retraining.facts["warm_start"] == f"none: {reason}"


class Judge:
    """Runs the asset `published` on a challenger that is there already: the champion, made with other parameters."""

    def __init__(self, root: Path, finished: Workspace) -> None:
        change(root, "evaluation", bootstrap=101)
        self.workspace = Workspace(root)
        self.retraining = Retraining(root, "0" * 8)
        self.retraining.begin([CODES.name])
        for part in ("data", "models", "reports"):
            shutil.copytree(
                finished.root / part,
                self.retraining.folder / part,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns("published"),
            )
        self.instance = dg.DagsterInstance.ephemeral()

    def run(self) -> dg.ExecuteInProcessResult:
        # A run that is tried again has another id, and goes on with the same retraining.
        run_id = "0" * 8 + os.urandom(12).hex()
        job = dg.define_asset_job("retrain", dg.AssetSelection.assets("published"))
        made = dg.Definitions(assets=[defined.published], jobs=[job]).resolve_job_def("retrain")
        return made.execute_in_process(instance=self.instance, run_id=run_id)

    def told(self) -> list[Alert]:
        return [alert for alert, _ in outbox(self.workspace)]


@pytest.fixture
def judge(with_champion: Path, finished: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    monkeypatch.setattr(defined, "PROJECT", Project(with_champion))
    judge = Judge(with_champion, finished)
    yield judge
    judge.instance.dispose()


def test_a_challenger_that_is_no_better_leaves_the_champion_and_a_reason(judge: Judge) -> None:
    champion = current_version(judge.workspace.published)
    result = judge.run()
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description == "0 users have held-out events since the champion's log; 50 are needed"
    assert result.get_asset_materialization_events() == []
    assert current_version(judge.workspace.published) == champion
    (alert,) = judge.told()
    assert (alert.kind, alert.text) == ("rejected", f"{check.description}. {champion} goes on being served.")


def test_a_challenger_is_published_and_told_once_however_often_it_is_tried(
    judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = current_version(judge.workspace.published)
    measured = {"champion": 0.1, "challenger": 0.2, "difference": 0.1, "low": 0.05, "high": 0.15, "verdict": "better"}
    verdict = Verdict(True, "significantly better in ndcg@10", {"users": 80, "ndcg@10": measured})
    monkeypatch.setattr("s2gr.publish.gate.Gate.__call__", lambda *arguments: verdict)
    # The run was killed after it had published, and before it could say so.
    for number in range(2):
        result = judge.run()
        (event,) = result.get_asset_materialization_events()
        (check,) = result.get_asset_check_evaluations()
        assert check.passed
        # The second time it is there already, and nothing is compared.
        assert check.metadata.get("ndcg@10: difference") == (None if number else dg.MetadataValue.float(0.1))
        version = event.step_materialization_data.materialization.metadata["version"].value
        assert version == current_version(judge.workspace.published) != champion, number
    assert version_names(judge.workspace.published) == [champion, version]
    (alert,) = judge.told()
    shown = {"users": 80, "ndcg@10": "0.1000 → 0.2000, +0.1000 [+0.0500, +0.1500], better"}
    assert (alert.kind, alert.figures) == ("published", shown)
    facts = verified(judge.workspace.published / "current").facts
    assert facts["gate"]["told"] == verdict.told
    assert facts["retraining"]["signals"] == [CODES.name]
    assert facts["previous"] == champion


def test_only_the_newest_folders_are_kept_also_of_those_that_fail(project: Path) -> None:
    def kept() -> list[str]:
        return sorted(path.name for path in (project / ".s2gr/retraining").iterdir())

    for number in range(4):
        Retraining(project, f"r{number}").begin([])
        os.utime(Retraining(project, f"r{number}").folder / COMPLETE, (number, number))
    # None of them has come to an end: two beside the one that has begun.
    assert kept() == ["r1", "r2", "r3"]
    # An old one that is tried again goes on.
    assert not Retraining(project, "r1").begin([])
    assert kept() == ["r1", "r2", "r3"]
    assert sorted(remove_old(project, 1)) == ["r1", "r2"]
    assert kept() == ["r3"]
