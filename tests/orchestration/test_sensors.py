"""What ran at a terminal shows up in Dagster, once."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from orchestration.defs import sensors


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
    for event in result.asset_events:
        toy.instance.report_runless_asset_event(event)
    # Without its cursor too: the versions are compared.
    assert keys(evaluate()) == []


def test_only_what_changed_is_reported(toy: Any, evaluate: Any) -> None:
    assert toy.materialise("first", "second").success
    assert keys(evaluate()) == []
    script = (toy.root / "s2gr/first/run.sh").read_text()
    toy.rewrite("s2gr/first/run.sh", script.replace("echo other", "echo another"))
    assert toy.dvc("repro").returncode == 0
    assert keys(evaluate()) == ["first"]


def test_a_clone_with_a_lock_and_no_data_reports_nothing(toy: Any, evaluate: Any) -> None:
    assert toy.dvc("repro").returncode == 0
    for path in (toy.root / "data").glob("*.txt"):
        path.unlink()
    assert keys(evaluate()) == []


def test_a_run_in_progress_reports_for_itself(toy: Any, evaluate: Any) -> None:
    assert toy.dvc("repro").returncode == 0
    job = dg.Definitions(jobs=[_nothing]).resolve_job_def("nothing")
    toy.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert isinstance(evaluate(), dg.SkipReason)


@dg.job(name="nothing")
def _nothing() -> None:
    pass
