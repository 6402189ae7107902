"""What closes the loop: drift starts a retraining, alerts go out, and what died is noticed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
from dagster import RunsFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from data_checks.drift import CHECKS
from orchestration import notices
from orchestration.defs.retraining import PUBLISHED, SIGNALS, bundle_metadata
from orchestration.defs.sensors import IN_PROGRESS, INTERVAL, UNFINISHED
from orchestration.dvc_project import PROJECT
from orchestration.lost_runs import is_lost
from s2gr.alerts import deliver
from s2gr.errors import UserError
from s2gr.params import load_params
from s2gr.publish.versions import current_version
from s2gr.workspace import Workspace

_DECIDED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
_RUNNING = dg.DefaultSensorStatus.RUNNING


@dg.sensor(
    name="drift",
    job_name="retrain",
    minimum_interval_seconds=INTERVAL,
    default_status=_RUNNING,
    description="Reads the history of the drift checks. An alarm about the model that is served is told, and starts "
    "the job `retrain` once; not while one is running, and not within retraining.cooldown_hours of the last one.",
)
def drift(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    measured = latest_measurement(context.instance, int(context.cursor or 0))
    if measured is None:
        return dg.SkipReason("drift was not measured again")
    cursor, figures, signals = measured
    workspace = Workspace(PROJECT.root)
    version = str(figures["published"])

    def nothing(reason: str) -> dg.SensorResult:
        return dg.SensorResult(cursor=str(cursor), skip_reason=dg.SkipReason(reason))

    if not signals:
        return nothing(f"no alarm since model {version}")
    if version != current_version(workspace.published):
        return nothing(f"an alarm, but not about the model that is served: {', '.join(signals)}")
    notices.drift_alarm(workspace, version, figures, signals)
    wait = reason_to_wait(context.instance, datetime.now(UTC))
    if wait:
        return nothing(f"an alarm ({', '.join(signals)}), but {wait}")
    told = {f"s2gr/{name}": str(figures[name])[:200] for name in signals}
    tags = {SIGNALS: ", ".join(signals), "s2gr/published": version, **told}
    return dg.SensorResult(cursor=str(cursor), run_requests=[dg.RunRequest(run_key=f"drift-{cursor}", tags=tags)])


def latest_measurement(instance: dg.DagsterInstance, after: int) -> tuple[int, Mapping[str, Any], Sequence[str]] | None:
    """The newest run that measured drift, if it is newer than the record ``after``.

    Returns: the id of its last record; per alarm the observed figure, and the model and run; the checks with an alarm.
    """
    records = []
    for check in CHECKS:
        key = dg.AssetCheckKey(dg.AssetKey("events"), check.name)
        history = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=_DECIDED)
        records += list(history)
    if not records:
        return None
    newest = max(records, key=lambda record: record.id)
    mine = [record for record in records if record.run_id == newest.run_id]
    # While the checks of a run come in one by one, there is more to come.
    if newest.id <= after or len(mine) < len(CHECKS):
        return None
    figures: dict[str, Any] = {"run": newest.run_id}
    failed = []
    for record in mine:
        evaluation = record.event.asset_check_evaluation if record.event else None
        metadata = evaluation.metadata if evaluation else {}
        name = record.key.name
        figures["published"] = str(metadata["published"].value) if "published" in metadata else "unpublished"
        # A fault of the data that hides what happens is no alarm: a retraining would not help.
        blind = "verdict" in metadata and metadata["verdict"].value == "not measured"
        if record.status is AssetCheckExecutionRecordStatus.FAILED and not blind:
            failed.append(name)
            observed, expected = (metadata[part].value for part in ("observed", "expected"))
            figures[name] = f"{observed:.4g}, expected {expected}" if isinstance(observed, float) else str(observed)
    return newest.id, figures, failed


def reason_to_wait(instance: dg.DagsterInstance, now: datetime) -> str:
    """Why no retraining may begin now; empty if one may."""
    if instance.get_runs_count(RunsFilter(job_name="retrain", statuses=UNFINISHED)):
        return "a retraining is running"
    last = instance.get_run_records(RunsFilter(job_name="retrain"), limit=1)
    hours = load_params([PROJECT.root / "params.yaml"]).retraining.cooldown_hours
    if last:
        until = last[0].create_timestamp.astimezone(UTC) + timedelta(hours=hours)
        if now < until:
            return (
                f"the last retraining began less than {hours:g} hours ago; the next may at {until:%Y-%m-%d %H:%M} UTC"
            )
    return ""


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=INTERVAL,
    default_status=_RUNNING,
    description="Sends what waits in the outbox to whoever should know (`s2gr alerts`), and tells of refused files.",
)
def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    workspace = Workspace(PROJECT.root)
    # First: what is wrong with the ledger stops no alert.
    sent = len(deliver(workspace))
    try:
        refused = f"{notices.refused_batches(workspace)} refused files are news"
    except UserError as error:
        refused = str(error)
    return dg.SkipReason(f"{sent} alerts sent; {refused}")


@dg.run_failure_sensor(
    name="failed_runs",
    minimum_interval_seconds=INTERVAL,
    default_status=_RUNNING,
    description="Tells of every failed run.",
)
def failed_runs(context: dg.RunFailureSensorContext) -> None:
    run = context.dagster_run
    steps = [
        event.step_failure_data.user_failure_data.description or event.message or ""
        for event in context.get_step_failure_events()
        if event.step_failure_data.user_failure_data
    ]
    reason = "; ".join(step for step in steps if step) or context.failure_event.message or ""
    notices.failed_run(Workspace(PROJECT.root), run.run_id, run.job_name, reason)


@dg.sensor(
    name="lost_runs",
    minimum_interval_seconds=INTERVAL,
    default_status=_RUNNING,
    description="Marks runs as failed whose process is gone, so that they are tried again and nothing waits for them; "
    "as cancelled, if somebody was terminating them.",
)
def lost_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    # A run that waits in the queue has no process yet.
    begun = [status for status in IN_PROGRESS if status is not dg.DagsterRunStatus.QUEUED]
    lost = [
        record.dagster_run
        for record in context.instance.get_run_records(RunsFilter(statuses=begun))
        if is_lost(context.instance, record)
    ]
    for run in lost:
        _report_lost(context.instance, run.run_id)
    return dg.SkipReason(f"{len(lost)} runs were lost")


def _report_lost(instance: dg.DagsterInstance, run_id: str) -> None:
    # Read again: its process may have ended as it should, and have said so since it was looked at.
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return
    reason = "its process is gone: killed, or the machine went down"
    if run.status is dg.DagsterRunStatus.CANCELING:
        # Somebody wants it to end: it is not tried again.
        instance.report_run_canceled(run, reason)
    else:
        instance.report_run_failed(run, reason)


@dg.sensor(
    name="published_elsewhere",
    minimum_interval_seconds=INTERVAL,
    default_status=_RUNNING,
    description="Reports what `s2gr publish`, `make pipeline` or `s2gr rollback` at a terminal has put into service.",
)
def published_elsewhere(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    workspace = Workspace(PROJECT.root)
    version = current_version(workspace.published)
    if version is None or not (workspace.published / version / "manifest.json").exists():
        return dg.SkipReason("nothing is published")
    if context.instance.get_runs_count(RunsFilter(job_name="retrain", statuses=UNFINISHED)):
        # It reports for itself.
        return dg.SkipReason("a retraining is running")
    latest = context.instance.get_latest_materialization_event(dg.AssetKey(PUBLISHED))
    tags = (latest.asset_materialization.tags if latest and latest.asset_materialization else None) or {}
    if tags.get("dagster/data_version") == version:
        return dg.SkipReason(f"{version} is served, as reported")
    return dg.SensorResult(
        asset_events=[
            dg.AssetMaterialization(
                PUBLISHED,
                description="reported from models/published/current: published or rolled back at a terminal",
                metadata=bundle_metadata(workspace, version),
                tags={"dagster/data_version": version, "dagster/data_version_is_user_provided": "true"},
            )
        ]
    )
