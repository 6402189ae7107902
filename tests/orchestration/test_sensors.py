"""What ran at a terminal shows up in Dagster, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg
import pytest

from orchestration.defs import loop, sensors
from orchestration.defs.retraining import PUBLISHED
from orchestration.dvc_project import Project
from s2gr.params import Params
from s2gr.publish.publishing import publish
from s2gr.publish.versions import current_version, rollback
from s2gr.workspace import Workspace, read_json

MadeWith = Callable[..., Params]


@pytest.fixture
def evaluate(toy: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    def evaluate(cursor: str | None = None) -> Any:
        # Read anew each time: dvc.yaml is cached.
        monkeypatch.setattr(sensors, "PROJECT", toy.project)
        return sensors.dvc_lock(dg.build_sensor_context(instance=toy.instance, cursor=cursor))

    return evaluate


def keys(result: Any) -> list[str]:
    assert isinstance(result, dg.SensorResult)
    return [event.asset_key.to_user_string() for event in result.asset_events]


def test_it_is_on_and_waits_for_the_first_run(evaluate: Any) -> None:
    assert sensors.dvc_lock.default_status is dg.DefaultSensorStatus.RUNNING
    assert isinstance(evaluate(), dg.SkipReason)


def test_a_terminal_run_is_reported_once_in_pipeline_order(toy: Any, evaluate: Any) -> None:
    assert toy.dvc("repro").returncode == 0
    result = evaluate()
    assert keys(result) == ["first", "second"]
    assert result.asset_events[0].metadata["rows"].value == 3
    assert isinstance(evaluate(result.cursor), dg.SkipReason)
    report(toy, result)
    # Without its cursor too: the versions are compared.
    assert keys(evaluate()) == []


def test_only_what_changed_is_reported(toy: Any, evaluate: Any) -> None:
    assert toy.materialise("first", "second").success
    assert keys(evaluate()) == []
    script = (toy.root / "s2gr/first/run.sh").read_text()
    toy.rewrite("s2gr/first/run.sh", script.replace("echo other", "echo another"))
    assert toy.dvc("repro").returncode == 0
    assert keys(evaluate()) == ["first"]


def report(toy: Any, result: Any) -> None:
    for event in result.asset_events:
        toy.instance.report_runless_asset_event(event)


def test_a_clone_with_a_lock_reports_when_the_data_has_come(toy: Any, evaluate: Any) -> None:
    assert toy.dvc("repro").returncode == 0
    for path in (toy.root / "data").glob("*.txt"):
        path.unlink()
    waits = evaluate()
    assert isinstance(waits, dg.SkipReason)
    assert "first, second" in str(waits.skip_message)
    # Of a part of it: that part.
    assert toy.dvc("checkout", "first").returncode == 0
    result = evaluate()
    assert keys(result) == ["first"]
    report(toy, result)
    assert isinstance(evaluate(result.cursor), dg.SkipReason)
    assert toy.dvc("checkout").returncode == 0
    result = evaluate(result.cursor)
    assert keys(result) == ["second"]
    report(toy, result)
    assert result.cursor
    assert isinstance(evaluate(result.cursor), dg.SkipReason)


def test_a_lock_of_another_commit_is_reported_with_its_own_data(toy: Any, evaluate: Any) -> None:
    assert toy.dvc("repro").returncode == 0
    before = evaluate()
    report(toy, before)
    old = (toy.root / "dvc.lock").read_text()
    script = (toy.root / "s2gr/first/run.sh").read_text()
    toy.rewrite("s2gr/first/run.sh", script.replace('"rows": 3', '"rows": 3000'))
    assert toy.dvc("repro").returncode == 0
    new = (toy.root / "dvc.lock").read_text()
    toy.rewrite("dvc.lock", old)
    assert toy.dvc("checkout").returncode == 0
    # Somebody else has run it: `git pull`, and later `dvc pull`.
    toy.rewrite("dvc.lock", new)
    assert isinstance(evaluate(before.cursor), dg.SkipReason)
    assert toy.dvc("checkout").returncode == 0
    (event,) = evaluate(before.cursor).asset_events
    assert event.metadata["rows"].value == 3000


def test_a_run_in_progress_reports_for_itself(toy: Any, evaluate: Any) -> None:
    assert toy.dvc("repro").returncode == 0
    job = dg.Definitions(jobs=[_nothing]).resolve_job_def("nothing")
    toy.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert isinstance(evaluate(), dg.SkipReason)


@dg.job(name="nothing")
def _nothing() -> None:
    pass


def test_what_is_published_or_gone_back_from_at_a_terminal_is_reported_once(
    finished: Workspace, made_with: MadeWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "PROJECT", Project(finished.root))
    with dg.DagsterInstance.ephemeral() as instance:

        def reported() -> Sequence[str]:
            found: Any = loop.published_elsewhere(dg.build_sensor_context(instance))
            events = [] if isinstance(found, dg.SkipReason) else found.asset_events
            for event in events:
                instance.report_runless_asset_event(event)
            return [str(event.metadata["version"].value) for event in events]

        publish(finished, made_with())
        first = current_version(finished.published)
        assert reported() == [first]
        assert reported() == []
        publish(finished, made_with(evaluation={"bootstrap": 101}))
        assert reported() == [current_version(finished.published)]
        rollback(finished.published)
        assert reported() == [first]
        latest = instance.get_latest_materialization_event(dg.AssetKey(PUBLISHED))
        assert latest
        assert latest.asset_materialization
        shown = latest.asset_materialization.metadata
        assert shown["events"].value == 480
        assert shown["ndcg@10_all"].value == read_json(finished.headline)["ndcg@10_all"]["s2gr"]
