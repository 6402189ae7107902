"""Refused files, failed runs and rejections are told once, and reach a receiver that was down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from data_checks.drift import CODES
from orchestration import notices
from orchestration.defs import loop
from s2gr.alerts import Alert, deliver, outbox
from s2gr.workspace import Workspace, write_table

from .watched import MODEL, Site


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
