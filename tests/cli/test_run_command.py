from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from s2gr import code_behind, freshness
from s2gr.cli import app
from s2gr.errors import UserError
from s2gr.made_with import params_of
from s2gr.params import Params
from s2gr.stage import STAGES
from s2gr.workspace import Workspace, read_json

FILES = ("--set", "source.kind=files")
VECTORS = ("--set", "content.kind=precomputed", "--set", "content.embeddings=v.npy", "--set", "content.ids=v.txt")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["run", "--workdir", "w", *arguments])


def again(stages: Any, *arguments: str) -> list[str]:
    """The stages that a further run runs."""
    stages.ran.clear()
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return list(stages.ran)


def test_first_run_runs_all_stages_and_ends_with_the_table_on_stdout(stages: Any) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    assert stages.ran == list(STAGES)
    assert "S²GR" in result.stdout
    assert "graph walk" in result.stdout
    assert "up to date" not in result.stdout


def test_second_run_runs_nothing_but_shows_the_table(stages: Any) -> None:
    run()
    stages.ran.clear()
    result = run()
    assert stages.ran == []
    assert "NDCG@10" in result.stdout


def test_changed_reasoner_parameter_runs_reasoner_and_what_follows(stages: Any) -> None:
    run()
    assert again(stages, "--set", "reasoner.epochs=3") == ["reasoner", "evaluation", "recommendations"]
    # And it stays so until the parameters change again.
    assert again(stages, "--set", "reasoner.epochs=3") == []


def test_runtime_counts_for_all_stages_except_for_its_memory_limit(stages: Any) -> None:
    run()
    # The fake stages write their own section only, so `runtime` changes no artefact, but is read by all.
    assert again(stages, "--set", "runtime.seed=1") == list(STAGES)
    # The codebook's artefact holds its section: all that follows sees another input.
    assert again(stages, "--set", "runtime.seed=1", "--set", "codebook.epochs=7") == list(STAGES[3:])
    assert again(stages, "--set", "runtime.seed=1", "--set", "codebook.epochs=7", "--set", "runtime.memory_gb=9") == []


def test_changed_raw_file_runs_everything_that_reads_it(stages: Any, tmp_path: Path) -> None:
    landing = tmp_path / "data/landing"
    (landing / "log.csv").write_text("a")
    run(*FILES, *VECTORS)
    for name in ("log.csv", "log.csv.sha256", "new.jsonl"):
        (landing / name).write_text("b")
        # The fake events are the same, so nothing else changed.
        assert again(stages, *FILES, *VECTORS) == ["events"]
    (landing / "new.jsonl").rename(landing / "other.jsonl")
    assert again(stages, *FILES, *VECTORS) == ["events"]
    for name in ("v.npy", "v.txt"):
        (landing / name).write_text("b")
        assert again(stages, *FILES, *VECTORS) == ["content"]


def test_paths_are_noted_as_they_are_seen_from_anywhere(
    stages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/log.csv").write_text("a")
    mine = (*FILES, "--set", "source.path=mine", "--set", "sids.previous=old.parquet")
    run(*mine)
    assert again(stages, *mine) == []
    monkeypatch.chdir("/")
    noted = params_of(Workspace(tmp_path / "w"))
    assert noted.source.path == tmp_path / "mine"
    assert noted.sids.previous == tmp_path / "old.parquet"


def test_changed_movielens_file_runs_events(stages: Any, tmp_path: Path) -> None:
    run()
    (tmp_path / "data/landing/ml-100k").mkdir()
    (tmp_path / "data/landing/ml-100k/u.data").write_text("a")
    assert again(stages) == ["events"]


@pytest.mark.parametrize("name", ["next.csv.part", ".git/index", "_temporary/log.csv", "notes.txt", "old.csv.sha256"])
def test_files_that_do_not_count_disturb_nothing(stages: Any, name: str) -> None:
    def write() -> None:
        path = Path("data/landing") / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(str(len(stages.ran)))

    stages.during = {"events": write, "content": write}
    result = run(*FILES)
    assert result.exit_code == 0, result.output
    write()
    assert again(stages, *FILES) == []


def test_a_folder_of_artefacts_inside_the_source_is_refused(stages: Any) -> None:
    result = run(*FILES, "--set", "source.path=.")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --workdir w lies in source.path (.), where the artefacts would count")
    assert not Path("w").exists()


@pytest.mark.parametrize("output", ["data/sids.parquet", "models/codebook", "reports/sids.json"])
def test_damaged_or_deleted_output_is_made_again(stages: Any, tmp_path: Path, output: str) -> None:
    run()
    path = tmp_path / "w" / output
    path = path / "config.json" if path.is_dir() else path
    path.write_text("damaged")
    stage = "codebook" if "codebook" in output else "sids"
    assert again(stages) == [stage]
    path.unlink()
    assert again(stages) == [stage]


def test_changed_code_of_a_stage_runs_it_and_what_follows(
    stages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "s2gr"
    (package / "sids").mkdir(parents=True)
    (package / "sids/stage.py").write_text("from s2gr.sids import assignment")
    (package / "sids/assignment.py").write_text("a = 1")
    monkeypatch.setattr(code_behind, "ROOT", tmp_path)
    run()
    (package / "sids/assignment.py").write_text("a = 2")
    assert again(stages) == ["sids", "reasoner", "evaluation", "recommendations"]
    (package / "cli.py").write_text("no = 'stage reads it'")
    assert again(stages) == []


def test_interrupted_run_goes_on_where_it_stopped(stages: Any) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    stages.during["sids"] = interrupt
    result = run()
    assert result.exit_code == 130
    assert "goes on from there" in result.stderr
    assert not Path("w/data/sids.parquet").exists()
    stages.during.clear()
    assert again(stages) == ["sids", "reasoner", "evaluation", "recommendations"]


def test_force_runs_what_is_up_to_date(stages: Any) -> None:
    run()
    assert again(stages, "--force", "--until", "content") == ["events", "content"]


def test_until_stops_after_the_stage(stages: Any) -> None:
    result = run("--until", "cooccurrence")
    assert result.exit_code == 0
    assert stages.ran == ["events", "content", "cooccurrence"]
    assert "stages up to cooccurrence" in result.stdout


def test_source_that_changes_during_a_stage_is_refused(stages: Any) -> None:
    stages.during["content"] = lambda: Path("data/landing/v.npy").write_text("x")
    result = run(*VECTORS)
    assert result.exit_code == 2
    assert "error: content: data/landing/v.npy changed while it ran" in result.stderr
    assert not Path("w/data/content.parquet").exists()


def test_a_file_that_lands_while_events_runs_is_looked_at_again_by_the_next_run(stages: Any) -> None:
    stages.during["events"] = lambda: Path("data/landing/new.csv").write_text("x")
    assert run(*FILES).exit_code == 0
    assert stages.ran == list(STAGES)
    assert again(stages, *FILES) == ["events"]
    assert again(stages, *FILES) == []


def test_code_that_changes_during_a_stage_makes_the_next_run_run_it_again(
    stages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "s2gr/content/stage.py"
    module.parent.mkdir(parents=True)
    module.write_text("a = 1")
    monkeypatch.setattr(code_behind, "ROOT", tmp_path)
    # Half an edit, as an editor may save it.
    stages.during["content"] = lambda: module.write_text("a = (")
    assert run().exit_code == 0
    # Even if the change is taken back: which code made the result can't be told.
    module.write_text("a = 1")
    del stages.during["content"]
    assert "content" in again(stages)


def test_stage_error_is_one_line_with_the_stages_name_and_no_traceback(stages: Any) -> None:
    def fail() -> None:
        raise UserError("log.csv: row 3, column user: expected text, found nothing")

    stages.during["content"] = fail
    result = run()
    assert result.exit_code == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last == "error: content: log.csv: row 3, column user: expected text, found nothing"
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "reasoner.epoch=3"], "there is no parameter `reasoner.epoch`"),
        (["--set", "reasoner"], "expected section.key=value"),
        (["--params", "missing.yaml"], "missing.yaml does not exist"),
        (["--until", "sid"], "--until: expected one of events, content"),
    ],
)
def test_bad_arguments_are_one_line_errors(stages: Any, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert stages.ran == []


def test_second_run_in_the_same_folder_is_told_who_works_there(stages: Any) -> None:
    Path("w/.s2gr").mkdir(parents=True)
    with Path("w/.s2gr/lock").open("w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run()
    assert result.exit_code == 2
    assert "w is busy: another `s2gr run` (process 4711)" in result.stderr
    assert stages.ran == []
    assert run().exit_code == 0


def test_a_dvc_project_is_left_to_dvc(stages: Any) -> None:
    Path("w").mkdir()
    Path("w/dvc.yaml").write_text("stages: {}")
    result = run()
    assert result.exit_code == 2
    assert "is a DVC project" in result.stderr


def test_a_file_in_the_place_of_the_folder_is_an_error_in_one_line(stages: Any) -> None:
    Path("w").write_text("")
    result = run()
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --workdir w: can't be written")


def test_params_yaml_of_the_current_folder_is_the_default(stages: Any) -> None:
    Path("params.yaml").write_text("reasoner: {epochs: 4}")
    run()
    assert yaml.safe_load(Path("w/.s2gr/params.yaml").read_text())["reasoner"]["epochs"] == 4
    Path("overlay.yaml").write_text("reasoner: {epochs: 5}")
    run("--params", "params.yaml", "--params", "overlay.yaml", "--set", "codebook.epochs=6")
    saved = yaml.safe_load(Path("w/.s2gr/params.yaml").read_text())
    assert (saved["reasoner"]["epochs"], saved["codebook"]["epochs"]) == (5, 6)
    assert Params.model_validate(saved).codebook.epochs == 6


def test_data_parallel_stages_run_in_a_process_of_their_own(stages: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def start(command: list[str], check: bool) -> SimpleNamespace:
        calls.append(command[1:])
        return SimpleNamespace(returncode=7)

    monkeypatch.setattr(subprocess, "run", start)
    result = run("--set", "runtime.devices=2")
    assert result.exit_code == 7
    assert calls == [["-m", "s2gr.events", "--params", "w/.s2gr/params.yaml", "--workdir", "w"]]


def test_record_is_written_last_and_names_all_outputs(stages: Any) -> None:
    run()
    for stage in STAGES:
        outputs = read_json(Path(f"w/.s2gr/done/{stage}.json"))["outputs"]
        assert list(outputs) == list(freshness.OUTPUTS[stage])
        assert "missing" not in outputs.values()


PROJECT = Path(__file__).parents[2]


@pytest.mark.skipif(not (PROJECT / "dvc.yaml").exists(), reason="needs the project's dvc.yaml")
def test_outputs_and_sections_are_those_of_dvc_yaml() -> None:
    dvc = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    for stage in STAGES:
        declared = {*dvc[stage].get("outs", []), *dvc[stage].get("metrics", []), *dvc[stage].get("plots", [])}
        assert declared == set(freshness.OUTPUTS[stage])
        sections = freshness.fingerprint(stage, Params(), Workspace(Path("nowhere"))).params
        assert set(dvc[stage]["params"]) == set(sections)
