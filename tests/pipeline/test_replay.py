"""The whole loop in a real Dagster: a week lands in which tastes have changed, and a challenger is made and judged."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from orchestration import replay
from orchestration.replay_project import ReplayProject
from s2gr.alerts import outbox
from s2gr.errors import UserError
from s2gr.manifest import verified
from s2gr.params import Source, load_params
from s2gr.publish.publishing import publish
from s2gr.stage import STAGES, execute
from s2gr.workspace import Workspace, write_json
from tests.conftest import BEGIN

USERS, ITEMS, NICHE, DAYS = 50, 50, 10, 28
HOUR = 3_600_000_000
TINY = {
    **replay.SMALL,
    "runtime": {"threads": 1, "memory_gb": 1.0, "device": "cpu"},
    "content": {"kind": "tfidf", "dim": 6},
    "codebook": {"codes": 8},
    "reasoner": {
        "dim": 16,
        "heads": 2,
        "feed_forward": 32,
        "history": 8,
        "encoder_layers": 1,
        "epochs": 1,
        "clusters": 4,
        "validation_users": 30,
    },
    "evaluation": {"bootstrap": 100, "control_users": 0},
    # So few users tell little, and are asked all the same.
    "drift": {"events": 1, "cases": 100},
    "retraining": {"users": 20},
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Four weeks in which users walk up and down a row of things, and hardly ever meet one of the last ten."""
    folder = tmp_path_factory.mktemp("log")
    generator = np.random.default_rng(0)
    steps = generator.integers(-2, 4, (USERS, DAYS)).cumsum(1) + generator.integers(0, ITEMS, (USERS, 1))
    met = np.where(generator.random((USERS, DAYS)) < 0.06, ITEMS + generator.integers(0, NICHE, (USERS, DAYS)), 0)
    items = np.where(met > 0, met, steps % ITEMS)
    times = (np.arange(DAYS) * 24 + generator.integers(0, 24, (USERS, DAYS))) * HOUR
    events = {
        "user_id": np.repeat([f"u{user:02}" for user in range(USERS)], DAYS),
        "item_id": [f"i{item:02}" for item in items.ravel()],
        "timestamp": pa.array(BEGIN + times.ravel(), pa.timestamp("us", tz="UTC")),
    }
    ids = [f"i{item:02}" for item in range(ITEMS + NICHE)]
    words = ["soap", "wig", "brush", "cream", "oil"]
    texts = [
        "tractor plough" if item >= ITEMS else f"{words[item // 10]} {words[item % 5]}" for item in range(len(ids))
    ]
    pq.write_table(pa.table(events), folder / "interactions.parquet")
    pq.write_table(pa.table({"item_id": ids, "title": ids, "text": texts}), folder / "items.parquet")
    return Source(kind="files", path=folder)


def test_a_log_is_cut_into_weeks_and_each_item_lands_with_its_first_event(source: Source, tmp_path: Path) -> None:
    events, items = replay.read_log(source, tmp_path)
    parts = replay.cut(events, items, 2)
    assert [part.name for part in parts] == ["base", "week-1", "week-2"]
    assert pa.concat_tables([part.events for part in parts]).equals(events)
    assert sorted(pa.concat_tables([part.items for part in parts])["item_id"].to_pylist()) == sorted(
        pc.unique(events["item_id"]).to_pylist()
    )
    with pytest.raises(UserError, match="too short for 9 weeks"):
        replay.cut(events, items, 9)


def test_a_planted_drift_moves_a_third_of_the_events_and_changes_nothing_else(source: Source, tmp_path: Path) -> None:
    base, week = replay.cut(*replay.read_log(source, tmp_path), 1)
    planted = replay.plant(week, base.events)
    assert planted.events.drop_columns("item_id").equals(week.events.drop_columns("item_id"))
    moved = pc.sum(pc.not_equal(planted.events["item_id"], week.events["item_id"])).as_py()
    assert 0.25 < moved / len(week.events) < 0.4
    pairs = set(zip(planted.events["user_id"].to_pylist(), planted.events["item_id"].to_pylist(), strict=True))
    natural = set(zip(week.events["user_id"].to_pylist(), week.events["item_id"].to_pylist(), strict=True))
    assert len(pairs) >= len(natural)
    assert replay.plant(week, base.events).events.equals(planted.events)


@pytest.mark.parametrize("weeks", [5, 200_000])
def test_a_log_that_is_too_short_is_a_users_mistake(source: Source, weeks: int, tmp_path: Path) -> None:
    events, items = replay.read_log(source, tmp_path)
    with pytest.raises(UserError, match=rf"the log spans 3 whole weeks: it is too short for {weeks} weeks"):
        replay.cut(events, items, weeks)
    with pytest.raises(UserError, match="the source holds no event"):
        replay.cut(events.slice(0, 0), items, weeks)


def test_a_folder_that_holds_something_is_left_alone(source: Source, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="is not empty"):
        replay.replay(tmp_path, source, 1, None)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_week_whose_run_failed_before_drift_was_measured_hides_no_failure(tmp_path: Path) -> None:
    assert ReplayProject(tmp_path).worst() == "nothing was measured"
    write_json({"sid_codes_drift": {"verdict": "not measured"}}, tmp_path / "reports/drift/m-none/drift.json")
    assert ReplayProject(tmp_path).worst() == "nothing was measured"


def made_here(project: ReplayProject, *command: str) -> None:
    """The first model, by this process in the place of twenty; the challenger is made by DVC."""
    params = load_params([project.root / "params.yaml"])
    source = params.source.model_copy(update={"path": project.root / params.source.path})
    params = params.model_copy(update={"source": source})
    if command[0] == "dvc":
        for stage in STAGES:
            execute(stage, params, project.workspace)
    else:
        publish(project.workspace, params)


def test_a_planted_drift_is_noticed_and_one_challenger_is_made_and_judged(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "SMALL", TINY)
    monkeypatch.setattr(replay, "HYPED", NICHE)
    monkeypatch.setattr(ReplayProject, "command", made_here)
    folder = tmp_path / "replay"
    assert replay.replay(folder, source, 1, 1) == 0
    (week,) = json.loads((folder / "replay.json").read_text())["weeks"]
    assert week["signals"]
    assert week["retrainings"] == ["SUCCESS"]
    assert week["verdict"]
    with dg.DagsterInstance.from_config(str(folder / ".dagster")) as instance:
        runs = {run.job_name: run for run in instance.get_runs()}
        assert (instance.get_runs_count(), set(runs)) == (2, {"ingest", "retrain"})
        assert runs["retrain"].tags["s2gr/drift"] == ", ".join(week["signals"])
        challenger = instance.get_latest_materialization_event(dg.AssetKey("challenger"))
        assert challenger
        assert challenger.asset_materialization
        # The codebook goes on from the champion's, so how many items moved is known.
        assert challenger.asset_materialization.metadata["warm start"].value == "from the champion"
        assert [name for name in challenger.asset_materialization.metadata if name.startswith("churn: ")]
        key = dg.AssetCheckKey(dg.AssetKey("published"), "gate")
        (judged,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    told = [alert.kind for alert, _ in outbox(Workspace(folder))]
    passed = judged.status.value == "SUCCEEDED"
    assert told == ["drift", "retraining", "published" if passed else "rejected"]
    manifest = verified(Workspace(folder).published / "current")
    assert (manifest.facts["gate"] is not None) == passed
    assert manifest.version == week["version"]
