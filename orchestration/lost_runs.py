"""Runs whose process is gone: killed, or ended with the machine. Dagster's local launcher does not notice by itself.

Marked as failed they are tried again (``run_retries`` in dagster.yaml), and everything that waits for them goes on.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import dagster as dg
from dagster import DagsterEventType

from s2gr.workspace import alive

# Seconds: since the run's last change; and since its launch, as long as it has not told its process.
GRACE, LAUNCH = 60.0, 600.0
_PROC = Path("/proc")
# The field of /proc/PID/stat that holds the clock ticks between the system's start and the process's: see proc(5).
_STARTTIME = 22


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
    return not alive(pid) or _started(pid) > since + 1


def run_process(instance: dg.DagsterInstance, run_id: str) -> tuple[int, float] | None:
    """The newest process that said it works on the run: its id, and when it said so."""
    for entry in reversed(instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT)):
        data = entry.dagster_event.engine_event_data if entry.dagster_event else None
        for name, value in (data.metadata if data else {}).items():
            if name == "pid" and str(value.value).isdecimal():
                return int(str(value.value)), entry.timestamp
    return None


def _started(pid: int) -> float:
    """When a process of that id began, in seconds since the epoch; 0 where the system does not tell."""
    try:
        # The command's name, in parentheses, may hold blanks and parentheses; what follows begins with field 3.
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
        booted = re.search(r"^btime (\d+)$", (_PROC / "stat").read_text(), re.MULTILINE)
    except OSError:
        return 0.0
    return int(booted[1]) + int(fields[_STARTTIME - 3]) / os.sysconf("SC_CLK_TCK") if booted else 0.0
