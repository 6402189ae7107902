"""A run whose process is gone is marked as failed, and no other run is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType, EngineEventData

from orchestration import lost_runs
from orchestration.defs import loop
from orchestration.processes import started

from .watched import Site


def lose(site: Site, pid: int, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED) -> dg.DagsterRun:
    run = site.retrain(status)
    data = EngineEventData(metadata={"pid": dg.MetadataValue.text(str(pid))})
    site.instance.report_engine_event("Executing steps", run, data)
    return run


def status(site: Site, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = site.instance.get_run_by_id(run.run_id)
    assert found
    return found.status


def test_a_run_whose_process_is_gone_is_marked_as_failed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    lost, works = lose(site, ended.pid), lose(site, os.getpid())
    loop.lost_runs(dg.build_sensor_context(site.instance))
    # It may have been launched a moment ago.
    assert status(site, lost) is dg.DagsterRunStatus.STARTED
    monkeypatch.setattr(lost_runs, "GRACE", -1.0)
    loop.lost_runs(dg.build_sensor_context(site.instance))
    assert (status(site, lost), status(site, works)) == (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED)


def test_a_run_that_was_being_terminated_is_not_tried_again_and_one_that_ended_stays_as_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_runs, "GRACE", -1.0)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    terminated = lose(site, ended.pid, dg.DagsterRunStatus.CANCELING)
    finishes = lose(site, ended.pid)
    look = loop.is_lost

    def ends_meanwhile(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
        lost = look(instance, record)
        if record.dagster_run.run_id == finishes.run_id:
            event = DagsterEvent(DagsterEventType.PIPELINE_SUCCESS.value, "retrain")
            instance.report_dagster_event(event, finishes.run_id)
        return lost

    monkeypatch.setattr(loop, "is_lost", ends_meanwhile)
    loop.lost_runs(dg.build_sensor_context(site.instance))
    assert status(site, terminated) is dg.DagsterRunStatus.CANCELED
    assert status(site, finishes) is dg.DagsterRunStatus.SUCCESS


def test_a_run_is_not_lost_while_it_waits_in_the_queue_nor_when_it_is_launched_late(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, never_came = (site.retrain(kind) for kind in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING))
    (record,) = site.instance.get_run_records(dg.RunsFilter(run_ids=[never_came.run_id]))
    launched = record.update_timestamp.timestamp()
    queued = dg.RunRecord(1, never_came, record.create_timestamp - timedelta(hours=1), record.update_timestamp)
    assert not lost_runs.is_lost(site.instance, queued, launched + lost_runs.LAUNCH - 1)
    assert lost_runs.is_lost(site.instance, queued, launched + lost_runs.LAUNCH + 1)
    monkeypatch.setattr(lost_runs, "GRACE", -1.0)
    monkeypatch.setattr(lost_runs, "LAUNCH", -1.0)
    loop.lost_runs(dg.build_sensor_context(site.instance))
    assert (status(site, waits), status(site, never_came)) == (
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.FAILURE,
    )


def test_a_process_of_the_same_number_is_not_the_run(site: Site) -> None:
    run = lose(site, os.getpid())
    (record,) = site.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    later = time.time() + 1000
    assert not lost_runs.is_lost(site.instance, record, later)
    with pytest.MonkeyPatch.context() as patch:
        # The machine was started anew, and another program has the number now.
        patch.setattr(lost_runs, "started", lambda pid: later)
        assert lost_runs.is_lost(site.instance, record, later)


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not tell when a process began")
def test_a_process_began_when_it_began_however_late_it_is_looked_up(tmp_path: Path) -> None:
    named = tmp_path / "a) b (c"
    shutil.copyfile("/bin/sleep", named)
    named.chmod(0o755)
    before = time.time()
    with subprocess.Popen([named, "60"]) as process:
        after = time.time()
        time.sleep(2)
        began = started(process.pid)
        process.kill()
    # The system's start is told in whole seconds.
    assert before - 1.1 < began < after + 0.1
