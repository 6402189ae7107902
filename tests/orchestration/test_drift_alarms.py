"""What the sensors make of drift checks: an alarm is told once, and starts one retraining."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from data_checks.drift import CHECKS, CODES, RECALL, WITHOUT_SID
from orchestration.definitions import defs
from orchestration.defs import loop
from s2gr.alerts import outbox

from .watched import MODEL, Site

SENSORS = ("drift", "alerts", "failed_runs", "lost_runs", "published_elsewhere")


def test_all_sensors_are_on() -> None:
    for name in SENSORS:
        assert defs().resolve_sensor_def(name).default_status is dg.DefaultSensorStatus.RUNNING


def test_a_fresh_project_alarms_nobody(tmp_path: Path, site: Site) -> None:
    (site.workspace.published / "current").unlink()
    site.workspace.published.rmdir()
    for name in ("drift", "alerts", "lost_runs", "published_elsewhere"):
        assert isinstance(getattr(loop, name)(dg.build_sensor_context(site.instance)), dg.SkipReason)
    # Nothing is published, so a drift of the log in itself is no reason to retrain.
    site.measure(CODES.name, version="unpublished")
    assert site.tick() == []
    assert outbox(site.workspace) == []


def test_an_alarm_is_told_and_starts_one_retraining(site: Site) -> None:
    run = site.measure(CODES.name, RECALL.name)
    before = site.cursor
    (request,) = site.tick()
    assert request.tags["s2gr/drift"] == f"{CODES.name}, {RECALL.name}"
    assert request.tags[f"s2gr/{CODES.name}"] == "0.5, expected PSI at most 0.3"
    assert request.tags["s2gr/published"] == MODEL
    (alert,) = site.told("drift")
    assert alert.figures[CODES.name] == "0.5, expected PSI at most 0.3"
    assert alert.look == f"http://dagster.example/runs/{run}, or `s2gr drift`"
    assert site.tick() == []
    # A sensor that died before its cursor was kept asks again, by the same key, which Dagster takes once.
    site.cursor = before
    assert [again.run_key for again in site.tick()] == [request.run_key]
    assert len(site.told("drift")) == 1


def test_no_alarm_starts_and_tells_nothing(site: Site) -> None:
    site.measure()
    assert site.tick() == []
    # Times of no clock hide what happens: the checks fail, and training anew would not help.
    site.measure(*(check.name for check in CHECKS), verdict="not measured")
    assert site.tick() == []
    assert outbox(site.workspace) == []


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
def test_while_one_runs_no_other_begins(site: Site, status: dg.DagsterRunStatus) -> None:
    site.retrain(status)
    site.measure(CODES.name)
    assert site.tick() == []
    assert len(site.told("drift")) == 1


def test_the_cool_down_begins_with_the_last_retraining(site: Site) -> None:
    site.retrain(dg.DagsterRunStatus.SUCCESS)
    site.measure(CODES.name)
    assert site.tick() == []
    now = datetime.now(UTC)
    assert loop.reason_to_wait(site.instance, now).startswith("the last retraining began less than 24 hours ago")
    assert loop.reason_to_wait(site.instance, now + timedelta(hours=24, minutes=1)) == ""
    (site.root / "params.yaml").write_text("retraining: {cooldown_hours: 0}\n")
    site.measure(CODES.name)
    assert len(site.tick()) == 1


def test_a_model_that_is_no_more_served_needs_no_retraining(site: Site) -> None:
    site.measure(CODES.name)
    site.serve("20260202T000000Z-11111111")
    assert site.tick() == []
    assert outbox(site.workspace) == []


def test_the_same_alarm_every_week_is_told_once_and_another_one_too(site: Site) -> None:
    site.retrain(dg.DagsterRunStatus.STARTED)
    for failed in ([CODES.name], [CODES.name], [CODES.name, WITHOUT_SID.name]):
        site.measure(*failed)
        site.tick()
    assert len(site.told("drift")) == 2
