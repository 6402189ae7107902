"""The project of a replay: its commands, its Dagster, and what can be seen of both from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
from dagster import RunsFilter
from dagster._core.scheduler.instigation import TickStatus

from orchestration.dagster_process import dagster_dev
from orchestration.defs.sensors import UNFINISHED
from s2gr.alerts import VARIABLE, outbox
from s2gr.console import log
from s2gr.errors import UserError
from s2gr.publish.versions import current_version
from s2gr.workspace import Workspace, read_json

# Sensors that must have had nothing to do before a week counts as over.
SENSORS = ("landing", "drift", "alerts")
# Seconds: between two looks, and until a week is given up.
_PAUSE, _PATIENCE = 1.0, 3600.0


@dataclass(frozen=True)
class Observed:
    """What came of one landing."""

    # The drift checks that failed.
    signals: tuple[str, ...]
    # The signal nearest to an alarm, and how near.
    worst: str
    # Statuses of the retrainings that began.
    retrainings: tuple[str, ...]
    verdict: str
    # Served at the end.
    version: str
    failures: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class ReplayProject:
    """A copy of the project in the folder ``root``."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """The commands of this interpreter, the copy's code, and nobody else's Dagster or receivers of alerts."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER", "S2GR_"))}
        return {
            **inherited,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "PYTHONPATH": str(self.root),
            "DAGSTER_HOME": str(self.root / ".dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "DVC_NO_ANALYTICS": "1",
            "GX_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            VARIABLE: "",
            "S2GR_SENSOR_INTERVAL": "2",
        }

    @property
    def workspace(self) -> Workspace:
        return Workspace(self.root)

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(self.root / ".dagster"))

    def command(self, *command: str) -> None:
        """Raises: UserError: it failed."""
        found = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if found.returncode:
            raise UserError(f"`{' '.join(command)}` failed in {self.root}:\n{found.stdout[-2000:]}")

    def ui_command(self) -> str:
        quiet = "DAGSTER_DISABLE_TELEMETRY=1"
        return f"{quiet} DAGSTER_HOME=$PWD/.dagster PYTHONPATH=$PWD dg dev --host 127.0.0.1 --port 3000"

    def dagster(self) -> AbstractContextManager[str]:
        """Dagster in this copy until the block ends; its address."""
        return dagster_dev(self.root, self.environment)

    def observe(self, files: Sequence[str]) -> Observed:
        """Wait until the landed ``files`` are dealt with and nothing is left to do, and say what came of it.

        Raises: UserError: it takes too long.
        """
        began = time.time()
        alerts = len(outbox(self.workspace))
        quiet_since: float | None = None
        shown = ""
        while True:
            if time.time() - began > _PATIENCE:
                raise UserError(
                    f"{', '.join(files)} are not dealt with after {_PATIENCE / 60:g} minutes; see {self.root}"
                )
            working = self.instance.get_runs(RunsFilter(statuses=UNFINISHED))
            if working or not self._taken(files):
                quiet_since = None
                doing = ", ".join(sorted({run.job_name for run in working})) or "waiting for the sensor"
                if doing != shown:
                    log.info("  %s", doing)
                    shown = doing
            elif quiet_since is None:
                quiet_since = time.time()
            elif all(tick > quiet_since for tick in self._last_ticks().values()):
                return self._observed(began, alerts)
            time.sleep(_PAUSE)

    def _observed(self, began: float, alerts: int) -> Observed:
        from orchestration.defs.loop import latest_measurement

        measured = latest_measurement(self.instance, 0)
        signals = tuple(measured[2]) if measured else ()
        runs = [run for run in self.instance.get_run_records() if run.create_timestamp.timestamp() >= began]
        failures = [
            f"the run {run.dagster_run.run_id[:8]} of `{run.dagster_run.job_name}` failed"
            for run in runs
            if run.dagster_run.status is dg.DagsterRunStatus.FAILURE
        ]
        retrainings = [run.dagster_run.status.value for run in runs if run.dagster_run.job_name == "retrain"]
        news = [alert for alert, _ in outbox(self.workspace)][alerts:]
        verdict = next((alert.text for alert in reversed(news) if alert.kind in ("published", "rejected")), "")
        version = current_version(self.workspace.published) or "none"
        return Observed(signals, self.worst(), tuple(retrainings), verdict, version, tuple(failures))

    def worst(self) -> str:
        """Of the newest window, the signal nearest to its threshold."""
        windows = (self.root / "reports/drift").glob("*/drift.json")
        newest = max(windows, key=lambda path: path.stat().st_mtime, default=None)
        told: Mapping[str, Mapping[str, Any]] = read_json(newest) if newest else {}
        near = [
            (float(check[name]) / max(float(check[f"{name}_threshold"]), 1e-9), name, check)
            for check in told.values()
            for name in (key.removesuffix("_verdict") for key in check if key.endswith("_verdict"))
        ]
        if not near:
            return "nothing was measured"
        _, name, check = max(near, key=lambda entry: entry[0])
        return f"{name} {check[name]:.3f}, alarm above {check[f'{name}_threshold']:.3f}"

    def _taken(self, files: Sequence[str]) -> bool:
        try:
            known = set(pq.read_table(self.workspace.batches, columns=["file"])["file"].to_pylist())
        except (OSError, ValueError):
            # DVC is just replacing it.
            return False
        return set(files) <= known

    def _last_ticks(self) -> dict[str, float]:
        """When each of ``SENSORS`` last came to the end of a look."""
        found = dict.fromkeys(SENSORS, 0.0)
        for state in self.instance.all_instigator_state():
            if state.instigator_name in found:
                ticks = self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=3)
                done = [tick.timestamp for tick in ticks if tick.status is not TickStatus.STARTED]
                found[state.instigator_name] = max(done, default=0.0)
        return found
