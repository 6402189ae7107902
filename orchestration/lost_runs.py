"""Runs whose process is gone: killed, or ended with the machine. Dagster's local launcher does not notice by itself.

Marked as failed they are tried again (``run_retries`` in dagster.yaml), and everything that waits for them goes on.
"""

from __future__ import annotations

import time

import dagster as dg
from dagster import DagsterEventType

from orchestration.processes import started
from s2gr.workspace import alive

# Seconds: since the run's last change; and since its launch, as long as it has not told its process.
GRACE, LAUNCH = 60.0, 600.0


def is_lost(instance: dg.DagsterInstance, record: dg.RunRecord, now: float | None = None) -> bool:
    """Whether no process works on the run any more."""
    now = now or time.time()
    if now - record.update_timestamp.timestamp() < GRACE:
        return False
    process = run_process(instance, record.dagster_run.run_id)
    if process is None:
        # Created it may have been hours before: it has waited in the queue.
        return now - record.update_timestamp.timestamp() > LAUNCH
    pid, since = process
    return not alive(pid) or started(pid) > since + 1


def run_process(instance: dg.DagsterInstance, run_id: str) -> tuple[int, float] | None:
    """The newest process that said it works on the run: its id, and when it said so."""
    for entry in reversed(instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT)):
        data = entry.dagster_event.engine_event_data if entry.dagster_event else None
        for name, value in (data.metadata if data else {}).items():
            if name == "pid" and str(value.value).isdecimal():
                return int(str(value.value)), entry.timestamp
    return None
