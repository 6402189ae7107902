"""A bundle is enough by itself and says where it came from; what does not fit together is not published."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from s2gr import Recommender
from s2gr.assign import assign_new
from s2gr.codebook.loading import load_codebook
from s2gr.errors import UserError
from s2gr.manifest import read_manifest, verified
from s2gr.publish import versions
from s2gr.publish.names import Names
from s2gr.publish.publishing import Outcome, Verdict, publish
from s2gr.publish.shown import told
from s2gr.publish.versions import current_bundle, current_version, rollback, version_names
from s2gr.workspace import Workspace, read_json, write_json

from ..later import evaluated
from .variants import MadeWith, other

HISTORY = ["i03", "i05", "i04"]


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


def test_a_retrained_model_is_not_replaced_by_one_of_an_older_log(finished: Workspace, made_with: MadeWith) -> None:
    """`make pipeline` with nothing to do, after a challenger was published."""
    logged = {"events": 1, "first": "2026-01-01T00:00:00+00:00", "last": "2100-01-01T00:00:00+00:00"}
    facts = {"retraining": {"id": "r"}, "log": logged}
    retrained = publish(finished, other(made_with, 0), facts=facts).current
    assert publish(finished, other(made_with, 1)) == Outcome("older", retrained)
    assert current_version(finished.published) == retrained
    assert "--force" in told(Outcome("older", retrained), finished)
    assert publish(finished, other(made_with, 1), force=True).kind == "published"
    # By hand in this folder, on whatever log: that is somebody's decision.
    publish(finished, other(made_with, 2), facts={"log": logged})
    assert publish(finished, other(made_with, 3)).kind == "published"


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
