"""What happens outside of Dagster: `dvc repro` at a terminal, and files that land."""

import hashlib
import os

import dagster as dg

from orchestration.defs.jobs import ingest
from orchestration.dvc_bridge import reported_materialization
from orchestration.dvc_project import PROJECT
from orchestration.landing import look
from orchestration.rwlock import is_being_written
from s2gr.errors import UserError
from s2gr.params import load_params
from s2gr.workspace import Workspace

# Seconds between two looks of a sensor.
INTERVAL = int(os.environ.get("S2GR_SENSOR_INTERVAL", "30"))
IN_PROGRESS = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# Not yet begun or not yet over.
UNFINISHED = [dg.DagsterRunStatus.NOT_STARTED, *IN_PROGRESS]


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
    events, awaited = [], []
    for stage in PROJECT.stages.values():
        version = PROJECT.recorded_data_version(stage.name)
        if version is None:
            continue
        # `git pull` brings dvc.lock, and only `dvc pull` the data: until then there is none, or that of another commit.
        if not PROJECT.is_in_place(stage.name):
            awaited.append(stage.name)
            continue
        latest = context.instance.get_latest_materialization_event(dg.AssetKey(stage.name))
        tags = (latest.asset_materialization.tags if latest and latest.asset_materialization else None) or {}
        if tags.get("dagster/data_version") != version:
            events.append(reported_materialization(PROJECT, stage))
    if awaited and not events:
        return dg.SkipReason(
            f"dvc.lock names other data of {', '.join(awaited)} than is here: `dvc pull`, or `dvc repro`"
        )
    return dg.SensorResult(asset_events=events, cursor=context.cursor if awaited else cursor)


@dg.sensor(
    name="landing",
    job=ingest,
    minimum_interval_seconds=INTERVAL,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks for files that landed in source.path and are not in the log; takes them when they stood still "
    "between two looks, and launches the job `ingest` once for each new content of the folder.",
)
def landing(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    working = {run.job_name for run in context.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))}
    # A retraining works elsewhere, and may take hours.
    if working - {"retrain"} or is_being_written(PROJECT.root):
        # DVC removes what a stage makes before it runs: the log would seem to hold nothing.
        return dg.SkipReason("a run is in progress; looks again when it is done")
    try:
        source = load_params([PROJECT.root / "params.yaml"]).source
        if source.kind != "files":
            return dg.SkipReason(f"source.kind is {source.kind}: nothing lands")
        source = source.model_copy(update={"path": PROJECT.root / source.path})
        found = look(source, Workspace(PROJECT.root).batches, context.cursor)
    except UserError as error:
        return dg.SkipReason(str(error))
    if found.run_key is None:
        return dg.SensorResult(cursor=found.cursor, skip_reason=dg.SkipReason(found.reason))
    # Forced: a file may have landed after the stage read the folder and before DVC recorded it, which DVC can't know.
    config = {"ops": {"events": {"config": {"force": True}}}}
    return dg.SensorResult(
        cursor=found.cursor,
        run_requests=[dg.RunRequest(run_key=found.run_key, run_config=config, tags={"s2gr/landing": found.run_key})],
    )
