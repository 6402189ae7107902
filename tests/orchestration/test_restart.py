"""Dagster, killed with the run that it was at and started again: that run is taken up once, no second one begins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psutil

from orchestration.dvc_project import PROJECT

DEFINITIONS = """
import time
from pathlib import Path

import dagster as dg

from orchestration import lost_runs as rules
from orchestration.defs.loop import lost_runs

rules.GRACE = 2.0
BEGUN = Path(__file__).with_name("begun")


@dg.op
def work():
    again = BEGUN.exists()
    BEGUN.touch()
    if not again:
        time.sleep(3600)


@dg.job
def retrain():
    work()


@dg.sensor(job=retrain, minimum_interval_seconds=1, default_status=dg.DefaultSensorStatus.RUNNING)
def drift():
    # As after a restart: the cursor is lost, the alarm is read again.
    return dg.RunRequest(run_key="drift-1")


defs = dg.Definitions(jobs=[retrain], sensors=[drift, lost_runs])
"""
_PATIENCE = 240.0


def wait(for_: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not for_():
        assert time.monotonic() < deadline
        time.sleep(0.5)


@contextmanager
def dagster(folder: Path) -> Iterator[None]:
    """Dagster's daemon, with all its sensors; at the end it and all that it started is killed without a word."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("DAGSTER")},
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(PROJECT.root),
        "DAGSTER_HOME": str(folder),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "S2GR_SENSOR_INTERVAL": "1",
    }
    command = ["dagster-daemon", "run", "-f", "definitions.py"]
    with (folder / "daemon.log").open("a") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        for started in (*psutil.Process(process.pid).children(recursive=True), process):
            started.kill()
        process.wait()


def test_a_run_that_died_with_dagster_is_started_again_once(tmp_path: Path) -> None:
    (tmp_path / "definitions.py").write_text(DEFINITIONS)
    shutil.copyfile(PROJECT.root / "orchestration/dagster.yaml", tmp_path / "dagster.yaml")
    instance = dg.DagsterInstance.from_config(str(tmp_path))
    statuses = dg.DagsterRunStatus

    def runs(status: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
        return list(instance.get_runs(dg.RunsFilter(statuses=[status])))

    with dagster(tmp_path):
        wait((tmp_path / "begun").exists)
    (first,) = instance.get_runs()
    assert first.status is statuses.STARTED
    with dagster(tmp_path):
        wait(lambda: bool(runs(statuses.SUCCESS)))
        # The alarm is read a few times more.
        time.sleep(5)
    (again,), (lost,) = runs(statuses.SUCCESS), runs(statuses.FAILURE)
    assert lost.run_id == first.run_id == again.root_run_id
    assert instance.get_runs_count() == 2
    instance.dispose()
