"""A project that the sensors of the loop look at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from data_checks.drift import CHECKS
from orchestration.defs import loop
from s2gr.alerts import Alert, outbox
from s2gr.workspace import Workspace

MODEL = "20260101T000000Z-00000000"


class Site:
    """A project of which only a published version's name is there; `measure` runs its drift checks in Dagster."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workspace = Workspace(root)
        self.instance = dg.DagsterInstance.ephemeral()
        self.cursor: str | None = None
        (root / "params.yaml").write_text("alerts: {dagster: http://dagster.example/}\n")
        self.workspace.published.mkdir(parents=True)
        self.serve(MODEL)

    def serve(self, version: str) -> None:
        link = self.workspace.published / "current"
        link.unlink(missing_ok=True)
        link.symlink_to(version)

    def measure(self, *failed: str, version: str = MODEL, verdict: str = "alarm") -> str:
        """Returns: the id of the run."""
        specs = [dg.AssetCheckSpec(check.name, asset="events") for check in CHECKS]

        @dg.asset(name="events")
        def events() -> None:
            pass

        @dg.multi_asset_check(name="drift", specs=specs)
        def drift() -> Iterator[dg.AssetCheckResult]:
            for check in CHECKS:
                metadata = {"published": version, "observed": 0.5, "expected": "PSI at most 0.3", "verdict": verdict}
                yield dg.AssetCheckResult(
                    asset_key="events", check_name=check.name, passed=check.name not in failed, metadata=metadata
                )

        selection = dg.AssetSelection.checks_for_assets("events") | dg.AssetSelection.assets("events")
        made = dg.Definitions(assets=[events], asset_checks=[drift], jobs=[dg.define_asset_job("ingest", selection)])
        return str(made.resolve_job_def("ingest").execute_in_process(instance=self.instance).run_id)

    def tick(self) -> list[dg.RunRequest]:
        found: Any = loop.drift(dg.build_sensor_context(self.instance, cursor=self.cursor))
        if isinstance(found, dg.SkipReason):
            return []
        self.cursor = found.cursor
        return list(found.run_requests or ())

    def retrain(self, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        location = RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("localhost", port=1), "defs")
        origin = RemoteJobOrigin(location, "retrain")
        run = dg.DagsterRun("retrain", os.urandom(16).hex(), status=status, remote_job_origin=origin)
        self.instance.add_run(run)
        return run

    def told(self, kind: str) -> list[Alert]:
        return [alert for alert, _ in outbox(self.workspace) if alert.kind == kind]
