"""A bundle appears whole or not at all, is enough by itself, and is refused when it is damaged."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from s2gr import Recommender
from s2gr.assign import assign_new
from s2gr.codebook.loading import load_codebook
from s2gr.errors import UserError
from s2gr.manifest import MANIFEST, read_manifest, verified
from s2gr.params import Params
from s2gr.publish import versions
from s2gr.publish.names import Names
from s2gr.publish.publishing import Outcome, Verdict, publish
from s2gr.publish.shown import told
from s2gr.publish.versions import (
    GoneBack,
    current_bundle,
    current_version,
    locked,
    rollback,
    switch,
    version_names,
)
from s2gr.workspace import Workspace, read_json, write_json

from ..later import evaluated

MadeWith = Callable[..., Params]
HISTORY = ["i03", "i05", "i04"]


def other(made_with: MadeWith, number: int, keep: int = 5) -> Params:
    """Parameters that make another bundle of the same artefacts."""
    return made_with(evaluation={"bootstrap": 100 + number}, publish={"keep": keep})


def test_the_first_version_says_where_it_came_from(finished: Workspace, made_with: MadeWith) -> None:
    found = publish(finished, made_with())
    assert found.kind == "published"
    manifest = verified(finished.published / "current")
    assert manifest.version == found.current == current_version(finished.published)
    facts = manifest.facts
    log = pq.read_table(finished.events)
    assert facts["log"]["events"] == len(log)
    assert facts["training"]["events"] == log["split"].to_pylist().count("train")
    assert facts["training"]["first"] == min(log["timestamp"].to_pylist()).isoformat()
    assert facts["training"]["last"] < facts["log"]["last"] == max(log["timestamp"].to_pylist()).isoformat()
    assert facts["metrics"] == read_json(finished.headline)
    assert set(facts["data"]) >= {"data/events.parquet", "data/items.parquet", "data/sids.parquet"}
    assert (facts["previous"], facts["gate"]) == (None, None)
    assert set(facts["fusion"]) == {"everything", "unseen", "repeats", "walk", "walk_undirected"}


def test_a_bundle_ranks_as_its_work_folder_does_and_needs_nothing_of_it(
    finished: Workspace, made_with: MadeWith, tmp_path: Path
) -> None:
    histories, lengths = np.array([[3, 5, 4], [7, -1, -1]]), np.array([3, 1])
    expected = Recommender.load(finished, made_with()).rank(histories, lengths, 5, 20)
    publish(finished, made_with())
    shutil.copytree(current_bundle(finished.published), tmp_path / "elsewhere")
    shutil.rmtree(finished.root)
    recommender = Recommender.load(tmp_path / "elsewhere", made_with())
    found = recommender.rank(histories, lengths, 5, 20)
    assert np.array_equal(found.items, expected.items)
    assert np.array_equal(found.scores, expected.scores)
    listed = recommender.recommend(HISTORY, k=5)
    assert len(listed) == 5
    assert not {item.item_id for item in listed} & set(HISTORY)
    assert listed[0].title.startswith(f"Thing {listed[0].item_id}")
    assert load_codebook(Workspace(tmp_path / "elsewhere").codebook).vectors.shape[:2] == (3, 8)


def test_codes_and_clusters_are_named_after_the_codes_before_them(finished: Workspace, made_with: MadeWith) -> None:
    publish(finished, made_with())
    names = Names.read(finished.published / "current/reports/names.json")
    recommender = Recommender.load(finished)
    cluster = recommender.model.cluster.numpy()
    prefixes = {tuple(sid[:length]) for sid in recommender.sids.codes.tolist() for length in (1, 2)}
    assert {tuple(map(int, name.split("-"))) for name in names.codes} <= prefixes
    for sid in recommender.sids.codes.tolist():
        first, second = names.code(sid[:1]).split(", "), names.code(sid[:2]).split(", ")
        assert not {term for term in first if term} & set(second)
        assert names.code(sid) == ""
    assert any(names.code(sid[:1]) for sid in recommender.sids.codes.tolist())
    assert any(names.cluster([], int(cluster[0][sid[0]])) for sid in recommender.sids.codes.tolist())
    assert names.cluster(sid[:2], int(cluster[2][sid[2]])) == ""


def test_an_unknown_item_in_a_history_is_refused(finished: Workspace, made_with: MadeWith) -> None:
    publish(finished, made_with())
    recommender = Recommender.load(finished.published / "current")
    with pytest.raises(UserError, match="found 'x', which is not in the catalogue"):
        recommender.recommend(["i03", "x"])
    with pytest.raises(UserError, match="found no item"):
        recommender.recommend([])


def test_publishing_the_same_again_changes_nothing(finished: Workspace, made_with: MadeWith) -> None:
    first = publish(finished, made_with())
    again = publish(finished, made_with())
    assert again == Outcome("unchanged", first.current)
    assert version_names(finished.published) == [first.current]


def test_how_it_was_made_is_on_record_and_makes_no_other_version(finished: Workspace, made_with: MadeWith) -> None:
    lock = finished.root / "dvc.lock"
    lock.write_text("schema: '2.0'\n")
    first = publish(finished, made_with())
    assert (current_bundle(finished.published) / "dvc.lock").read_bytes() == lock.read_bytes()
    lock.write_text("schema: '2.0'\nstages: {}\n")
    assert publish(finished, made_with()) == Outcome("unchanged", first.current)


def test_the_oldest_versions_go_and_never_the_one_that_is_served(finished: Workspace, made_with: MadeWith) -> None:
    made = [publish(finished, other(made_with, number, keep=2)).current for number in range(3)]
    assert version_names(finished.published) == made[1:]
    rollback(finished.published)
    assert current_version(finished.published) == made[1]
    newest = publish(finished, other(made_with, 9, keep=1)).current
    assert version_names(finished.published) == [newest]


def test_a_copy_without_links_says_how_to_link(finished: Workspace, made_with: MadeWith) -> None:
    name = publish(finished, made_with()).current
    link = finished.published / "current"
    link.unlink()
    shutil.copytree(finished.published / name, link)
    with pytest.raises(UserError, match=rf"current: expected a link to a version, .* `ln -s {name} {link}`"):
        current_version(finished.published)


def test_what_was_withdrawn_does_not_come_back_by_itself(finished: Workspace, made_with: MadeWith) -> None:
    first = publish(finished, other(made_with, 0)).current
    second = publish(finished, other(made_with, 1)).current
    assert rollback(finished.published).version == first
    assert publish(finished, other(made_with, 1)) == Outcome("withdrawn", first)
    assert rollback(finished.published, second).version == second
    # Now the first is withdrawn.
    assert publish(finished, other(made_with, 0)) == Outcome("withdrawn", second)
    forced = publish(finished, other(made_with, 0), force=True)
    assert forced.kind == "published"
    assert current_version(finished.published) == forced.current not in {first, second}


def test_a_withdrawn_model_does_not_come_back_with_other_parameters(finished: Workspace, made_with: MadeWith) -> None:
    good = publish(finished, made_with()).current
    weights = finished.reasoner / "config.json"
    weights.write_text(weights.read_text() + "\n")
    evaluated(finished)
    bad = publish(finished, made_with()).current
    rollback(finished.published)
    assert publish(finished, made_with(serve={"decoders": 4})) == Outcome("withdrawn", good)
    rollback(finished.published, bad)
    assert publish(finished, made_with(serve={"decoders": 4})).kind == "published"


def test_a_withdrawn_model_stays_withdrawn_where_what_is_served_is_damaged(
    finished: Workspace, made_with: MadeWith
) -> None:
    first = publish(finished, other(made_with, 0)).current
    publish(finished, other(made_with, 1))
    rollback(finished.published)
    (finished.published / first / "params.yaml").write_text("damaged")
    assert publish(finished, other(made_with, 1)) == Outcome("withdrawn", first)
    # What is served can be published anew.
    assert publish(finished, other(made_with, 0)).kind == "published"


def test_a_retrained_model_is_not_replaced_by_one_of_an_older_log(finished: Workspace, made_with: MadeWith) -> None:
    """`make pipeline` with nothing to do, after a challenger was published."""
    logged = {"events": 1, "first": "2026-01-01T00:00:00+00:00", "last": "2100-01-01T00:00:00+00:00"}
    facts = {"retraining": {"id": "r"}, "log": logged}
    retrained = publish(finished, other(made_with, 0), facts=facts).current
    assert publish(finished, other(made_with, 1)) == Outcome("older", retrained)
    assert current_version(finished.published) == retrained
    assert "--force" in told(Outcome("older", retrained))
    assert publish(finished, other(made_with, 1), force=True).kind == "published"
    # By hand in this folder, on whatever log: that is somebody's decision.
    publish(finished, other(made_with, 2), facts={"log": logged})
    assert publish(finished, other(made_with, 3)).kind == "published"


def test_there_must_be_something_to_go_back_to(finished: Workspace, made_with: MadeWith) -> None:
    with pytest.raises(UserError, match="nothing is published in"):
        rollback(finished.published)
    first = publish(finished, made_with()).current
    with pytest.raises(UserError, match=f"no whole version before {first}"):
        rollback(finished.published)
    with pytest.raises(UserError, match=f"no version 'v7' in .*; there are: {first}"):
        rollback(finished.published, "v7")


def test_going_back_passes_over_a_damaged_version(finished: Workspace, made_with: MadeWith) -> None:
    made = [publish(finished, other(made_with, number)).current for number in range(3)]
    (finished.published / made[1] / "data/sids.parquet").write_bytes(b"")
    with pytest.raises(UserError, match=r"sids.parquet is damaged: its SHA-256"):
        rollback(finished.published, made[1])
    assert rollback(finished.published).version == made[0]


def test_the_gate_compares_with_the_champion_and_is_on_record(finished: Workspace, made_with: MadeWith) -> None:
    seen = []

    def gate(challenger: Workspace, champion: Workspace | None) -> Verdict:
        seen.append((Recommender.load(challenger).item_ids, champion and verified(champion.root).version))
        return Verdict(len(seen) != 2, "NDCG@10 fell", {"difference": -0.01})

    first = publish(finished, other(made_with, 0), gate)
    refused = publish(finished, other(made_with, 1), gate)
    assert (refused.kind, refused.current) == ("rejected", first.current)
    assert version_names(finished.published) == [first.current]
    passed = publish(finished, other(made_with, 1), gate)
    assert passed.kind == "published"
    assert [version for _, version in seen] == [None, first.current, first.current]
    facts = read_manifest(finished.published / "current").facts
    assert facts["gate"] == {"passed": True, "told": "NDCG@10 fell", "figures": {"difference": -0.01}}
    assert facts["previous"] == first.current


def test_going_back_waits_for_no_gate_which_judges_again(finished: Workspace, made_with: MadeWith) -> None:
    first, second = (publish(finished, other(made_with, number)).current for number in range(2))
    against = []

    def gate(challenger: Workspace, champion: Workspace | None) -> Verdict:
        assert champion is not None
        against.append(champion.root.name)
        if len(against) == 1:
            assert people.submit(rollback, finished.published).result(20) == GoneBack(first, second)
            assert current_version(finished.published) == first
        # What is found against the version that was left counts neither way.
        return Verdict(len(against) == 2, "better")

    with ThreadPoolExecutor(1) as people:
        assert publish(finished, other(made_with, 2), gate).kind == "published"
    assert against == [second, first]
    assert read_manifest(finished.published / "current").facts["previous"] == first


def test_what_is_withdrawn_while_it_is_judged_is_not_published(finished: Workspace, made_with: MadeWith) -> None:
    _, second, third = (publish(finished, other(made_with, number)).current for number in range(3))

    def gate(challenger: Workspace, champion: Workspace | None) -> Verdict:
        rollback(finished.published, second)
        rollback(finished.published, third)
        return Verdict(True, "better")

    assert publish(finished, other(made_with, 1), gate) == Outcome("withdrawn", third)


def test_going_back_is_refused_where_another_version_is_served_by_then(
    finished: Workspace, made_with: MadeWith, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("s2gr"), "propagate", True)
    first, second = (publish(finished, other(made_with, number)).current for number in range(2))
    with ThreadPoolExecutor(1) as people:
        with locked(finished.published):
            going, until = people.submit(rollback, finished.published), time.monotonic() + 20
            while f"waiting for process {os.getpid()}, which switches versions" not in caplog.text:
                assert time.monotonic() < until
                time.sleep(0.01)
            switch(finished.published, first)
        with pytest.raises(UserError, match=f"expected to go back from {second}, found that {first} is served"):
            going.result()
    assert current_version(finished.published) == first


@pytest.mark.parametrize("name", ["data/items.parquet", "models/codebook", "reports/evaluation.json"])
def test_what_a_stage_has_not_made_is_named(finished: Workspace, made_with: MadeWith, name: str) -> None:
    path = finished.root / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=f"{name} is missing: run the stages first"):
        publish(finished, made_with())
    assert current_version(finished.published) is None
    assert [path.name for path in finished.published.iterdir()] == [".publishing"]


@pytest.mark.parametrize("name", ["data/events.parquet", "models/reasoner/model.safetensors"])
def test_an_evaluation_of_other_files_is_refused(finished: Workspace, made_with: MadeWith, name: str) -> None:
    """After an `ingest` without training the log would tell of events that the model has never seen."""
    report = read_json(finished.report("evaluation"))
    assert set(report["basis"]) >= {name, "data/items.parquet", "data/sids.parquet"}
    report["basis"][name] = "0" * 64
    write_json(report, finished.report("evaluation"))
    with pytest.raises(UserError, match=f"{name} has changed since"):
        publish(finished, made_with())


def test_a_model_that_cannot_be_loaded_is_not_served(finished: Workspace, made_with: MadeWith) -> None:
    first = publish(finished, other(made_with, 0)).current
    (finished.reasoner / "walks.safetensors").write_bytes(b"no walks")
    evaluated(finished)
    with pytest.raises(UserError, match="reasoner is damaged or of another version"):
        publish(finished, other(made_with, 1))
    assert current_version(finished.published) == first
    assert version_names(finished.published) == [first]


def test_any_damaged_file_is_named_in_one_line(finished: Workspace, made_with: MadeWith) -> None:
    publish(finished, made_with())
    bundle = current_bundle(finished.published)
    for name in read_manifest(bundle).files:
        path = bundle / name
        whole = path.read_bytes()
        place = len(whole) // 2
        flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        for damaged in (flipped, whole[:-1], b""):
            path.write_bytes(damaged)
            with pytest.raises(UserError, match=f"{name} is damaged") as error:
                Recommender.load(finished.published / "current")
            assert "\n" not in str(error.value)
        path.unlink()
        with pytest.raises(UserError, match=f"{name} is missing, so the bundle is not whole"):
            Recommender.load(finished.published / "current")
        path.write_bytes(whole)
    Recommender.load(finished.published / "current")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is no published bundle, or a half-written one: it has no manifest.json"),
        ("", "manifest.json is damaged"),
        ("[]", "manifest.json is damaged"),
        ('{"version": 1}', "manifest.json is damaged"),
    ],
)
def test_a_bundle_without_a_whole_manifest_is_refused(
    finished: Workspace, made_with: MadeWith, text: str | None, message: str
) -> None:
    publish(finished, made_with())
    path = finished.published / "current" / MANIFEST
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        Recommender.load(finished.published / "current")


def test_an_edited_list_of_files_and_another_format_are_refused(finished: Workspace, made_with: MadeWith) -> None:
    publish(finished, made_with())
    path = finished.published / "current" / MANIFEST
    told = json.loads(path.read_text(encoding="utf-8"))
    write_json({**told, "files": dict(list(told["files"].items())[1:])}, path)
    with pytest.raises(UserError, match="its list of files is not what was written"):
        verified(path.parent)
    write_json({**told, "format": 99}, path)
    with pytest.raises(UserError, match="has another format than"):
        verified(path.parent)


def test_a_damaged_champion_can_be_published_again(finished: Workspace, made_with: MadeWith) -> None:
    first = publish(finished, made_with()).current
    (finished.published / first / "data/sids.parquet").write_bytes(b"")
    again = publish(finished, made_with())
    assert again.kind == "published"
    verified(finished.published / "current")


def test_a_version_is_later_than_all_others_when_the_clock_goes_back(
    finished: Workspace, made_with: MadeWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish(finished, other(made_with, 0)).current

    class Past(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime(2001, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(versions, "datetime", Past)
    second = publish(finished, other(made_with, 1)).current
    assert second > first
    assert rollback(finished.published).version == first


def test_new_items_of_the_work_folder_are_ranked_from_the_bundle(
    finished: Workspace, made_with: MadeWith, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text("item_id,title,text\nn1,A new soap,soap brush\n", encoding="utf-8")
    assign_new(finished, made_with(), tmp_path / "new.csv")
    publish(finished, made_with())
    assert "n1" not in Recommender.load(finished).item_ids
    recommender = Recommender.load(finished.published / "current")
    assert recommender.item_ids[-1] == "n1"
    everything = recommender.recommend(["i03"], k=100, beam=100)
    assert {item.title for item in everything if item.item_id == "n1"} == {"A new soap"}


KILLED = """
import os, signal, sys, time
from pathlib import Path
import numpy as np, yaml
from s2gr.errors import UserError
from s2gr.manifest import verified
from s2gr.params import Params
from s2gr.publish.publishing import publish
from s2gr.publish.versions import current_bundle, version_names
from s2gr.workspace import Workspace

workspace, params = Workspace(Path(sys.argv[1])), yaml.safe_load(sys.argv[2])

def attempt(number):
    params["evaluation"]["bootstrap"] = 100 + number
    return publish(workspace, Params.model_validate(params))

started = time.monotonic()
served = [attempt(0).current]
takes = time.monotonic() - started
generator = np.random.default_rng(0)
for number, wait in enumerate(generator.uniform(0, takes, 10), start=1):
    child = os.fork()
    if not child:
        attempt(number)
        os._exit(0)
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    now = verified(current_bundle(workspace.published)).version
    # The old one, or the one that was being published: the newest there is.
    assert now == served[-1] or now == version_names(workspace.published)[-1], (now, served)
    served.append(now)
final = attempt(99)
assert final.kind == "published"
left = sorted(path.name for path in workspace.published.iterdir() if path.name.startswith("."))
assert left == [".lock", ".publishing"], left
"""


def test_killed_at_ten_random_points_the_old_or_the_new_version_is_served(
    finished: Workspace, made_with: MadeWith
) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLED, str(finished.root), json.dumps(made_with().model_dump(mode="json"))]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert found.returncode == 0, found.stderr


def test_two_at_once_leave_one_whole_current_version(finished: Workspace, made_with: MadeWith) -> None:
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda number: publish(finished, other(made_with, number)), range(2)))
    assert [each.kind for each in found] == ["published"] * 2
    assert sorted(each.current for each in found) == version_names(finished.published)
    assert verified(finished.published / "current").version == version_names(finished.published)[-1]
