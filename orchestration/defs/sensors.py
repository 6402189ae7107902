"""Runs that Dagster did not start: `dvc repro` at a terminal shows up here too."""

import hashlib

import dagster as dg

from orchestration.dvc_bridge import reported_materialization
from orchestration.dvc_project import PROJECT

IN_PROGRESS = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(
    name="dvc_lock",
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Compares dvc.lock with the last materialisations and reports what ran at a terminal.",
)
def dvc_lock(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    lock = PROJECT.root / "dvc.lock"
    if not lock.exists():
        return dg.SkipReason("there is no dvc.lock yet")
    cursor = hashlib.md5(lock.read_bytes(), usedforsecurity=False).hexdigest()
    if cursor == context.cursor:
        return dg.SkipReason("dvc.lock is as it was")
    if context.instance.get_runs_count(dg.RunsFilter(statuses=IN_PROGRESS)):
        # Its steps write dvc.lock first and report a moment later; they must not be reported twice.
        return dg.SkipReason("a run is in progress")
    events = []
    for stage in PROJECT.stages.values():
        version = PROJECT.recorded_data_version(stage.name)
        # A fresh clone has dvc.lock but not the data.
        if version is None or not all((PROJECT.root / out).exists() for out in stage.outs):
            continue
        latest = context.instance.get_latest_materialization_event(dg.AssetKey(stage.name))
        tags = (latest.asset_materialization.tags if latest and latest.asset_materialization else None) or {}
        if tags.get("dagster/data_version") != version:
            events.append(reported_materialization(PROJECT, stage))
    return dg.SensorResult(asset_events=events, cursor=cursor)
