"""What the sensors make of drift checks, refused files, failed and lost runs: told once, and one retraining."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType, EngineEventData
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from data_checks.drift import CHECKS, CODES, RECALL, WITHOUT_SID
from orchestration import lost_runs, notices
from orchestration.definitions import defs
from orchestration.defs import loop
from orchestration.defs.retraining import PUBLISHED
from orchestration.dvc_project import Project
from orchestration.processes import started
from s2gr.alerts import Alert, deliver, outbox
from s2gr.params import Params
from s2gr.publish.publishing import publish
from s2gr.publish.versions import current_version, rollback
from s2gr.workspace import Workspace, read_json, write_table

MadeWith = Callable[..., Params]
MODEL = "20260101T000000Z-00000000"
SENSORS = ("drift", "alerts", "failed_runs", "lost_runs", "published_elsewhere")


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


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(tmp_path)
    monkeypatch.setattr(loop, "PROJECT", Project(tmp_path))
    monkeypatch.setenv("S2GR_ALERT_URLS", "")
    yield site
    site.instance.dispose()


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


def ledger(workspace: Workspace, *batches: tuple[str, str], **other: Any) -> None:
    told = {"reason": "line 3 is no CSV", "rows": 5, "rejected": 5, "failed_checks": ["batch_readable"]} | other
    rows = [{"file": f"{name}.csv", "batch": name, "status": status} | told for name, status in batches]
    write_table(pa.Table.from_pylist(rows), workspace.batches)


def test_a_refused_file_is_told_once(site: Site) -> None:
    ledger(site.workspace, ("a", "admitted"), ("b", "refused"))
    for _ in range(2):
        loop.alerts(dg.build_sensor_context(site.instance))
    (alert,) = site.told("refused")
    assert "b.csv" in alert.title
    assert alert.text == "line 3 is no CSV"
    ledger(site.workspace, ("b", "refused"), ("c", "refused"))
    loop.alerts(dg.build_sensor_context(site.instance))
    assert len(site.told("refused")) == 2


def test_a_file_refused_again_is_told_for_another_check_and_not_for_other_counts(site: Site) -> None:
    news = []
    for status, checks, reason in (
        ("refused", ["batch_rows_sound"], "5 of 5 rows rejected"),
        ("refused", ["batch_rows_sound"], "4 of 5 rows rejected"),
        ("admitted", [], None),
        ("refused", ["batch_columns_fit"], "no column item_id"),
        ("refused", ["batch_columns_fit"], "no column item_id"),
    ):
        ledger(site.workspace, ("b", status), failed_checks=checks, reason=reason)
        news.append(notices.refused_batches(site.workspace))
    assert news == [1, 0, 0, 1, 0]


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing"])
def test_a_damaged_ledger_stops_no_alert(site: Site, content: bytes) -> None:
    notices.failed_run(site.workspace, "1", "ingest", "it broke")
    site.workspace.batches.parent.mkdir()
    site.workspace.batches.write_bytes(content)
    said = loop.alerts(dg.build_sensor_context(site.instance))
    assert [sent for _, sent in outbox(site.workspace)] == [True]
    assert isinstance(said, dg.SkipReason)
    assert "batches.parquet is not a readable Parquet file" in str(said.skip_message)


def test_a_rejection_says_what_goes_on_being_served(site: Site) -> None:
    for number, champion in enumerate((MODEL, "")):
        notices.rejected(site.workspace, str(number), "run", champion, "1 checks failed", {})
    told = [alert.text for alert in site.told("rejected")]
    assert told == [
        f"1 checks failed. {MODEL} goes on being served.",
        "1 checks failed. Nothing goes on being served.",
    ]


def fail(site: Site, reason: str) -> str:
    """A run of the job `ingest` that fails, which is noticed twice; its id."""

    @dg.op
    def broken() -> None:
        raise dg.Failure(reason)

    @dg.job(name="ingest")
    def job() -> None:
        broken()

    result = job.execute_in_process(instance=site.instance, raise_on_error=False)
    context = dg.build_run_status_sensor_context(
        "failed_runs", result.get_run_failure_event(), site.instance, result.dagster_run
    ).for_run_failure()
    for _ in range(2):
        loop.failed_runs(context)
    return str(result.run_id)


def test_a_failed_run_is_told_with_its_reason(site: Site) -> None:
    run = fail(site, "events: 3 files are broken")
    (alert,) = site.told("failed")
    assert alert.text == "events: 3 files are broken"
    assert alert.look == f"http://dagster.example/runs/{run}"


def test_what_fails_as_the_parameters_are_invalid_is_told_too(site: Site) -> None:
    (site.root / "params.yaml").write_text("events: {k_core: -1}\n")
    run = fail(site, "events: params.yaml: events.k_core")
    (alert,) = site.told("failed")
    assert alert.look == f"http://127.0.0.1:3000/runs/{run}"


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


def test_what_is_published_or_gone_back_from_at_a_terminal_is_reported_once(
    finished: Workspace, made_with: MadeWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "PROJECT", Project(finished.root))
    with dg.DagsterInstance.ephemeral() as instance:

        def reported() -> Sequence[str]:
            found: Any = loop.published_elsewhere(dg.build_sensor_context(instance))
            events = [] if isinstance(found, dg.SkipReason) else found.asset_events
            for event in events:
                instance.report_runless_asset_event(event)
            return [str(event.metadata["version"].value) for event in events]

        publish(finished, made_with())
        first = current_version(finished.published)
        assert reported() == [first]
        assert reported() == []
        publish(finished, made_with(evaluation={"bootstrap": 101}))
        assert reported() == [current_version(finished.published)]
        rollback(finished.published)
        assert reported() == [first]
        latest = instance.get_latest_materialization_event(dg.AssetKey(PUBLISHED))
        assert latest
        assert latest.asset_materialization
        shown = latest.asset_materialization.metadata
        assert shown["events"].value == 480
        assert shown["ndcg@10_all"].value == read_json(finished.headline)["ndcg@10_all"]["s2gr"]


def test_a_receiver_that_is_down_for_an_hour_gets_everything_later_in_order_and_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S2GR_ALERT_URLS", "json://receiver.example")
    now, up, got = datetime.now(UTC), False, list[str]()

    def send(receiver: Any, alert: Alert) -> str:
        if not up:
            return "it did not take the alert"
        got.append(alert.kind)
        return ""

    def minutes(count: int) -> None:
        nonlocal now
        for _ in range(count):
            now += timedelta(minutes=1)
            deliver(site.workspace, now, send=send)

    site.measure(CODES.name)
    (request,) = site.tick()
    minutes(20)
    ledger(site.workspace, ("b", "refused"))
    assert notices.refused_batches(site.workspace) == 1
    minutes(40)
    assert request.run_key
    assert (got, len(outbox(site.workspace))) == ([], 2)
    up = True
    minutes(61)
    assert got == ["drift", "refused"]
    assert all(sent for _, sent in outbox(site.workspace))
