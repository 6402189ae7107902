"""Alerts get through, once, to real receivers that are there or not."""

from __future__ import annotations

import json
import logging
import os
import threading
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from s2gr.alerts import VARIABLE, Alert, deliver, outbox, post, receivers
from s2gr.cli import app
from s2gr.errors import UserError
from s2gr.workspace import Workspace

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECRET = "hunter2"
FIGURES = {"PSI of code 1": 0.71234, "moved": ["a", "b"]}
DRIFT = Alert("drift-v1", "drift", "S²GR: drift", "The codes have moved.", FIGURES, "s2gr drift")


class Webhook:
    """An HTTP server on a port of its own that can be down, and refuses what is longer than Discord takes."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        # Titles that it refuses, too.
        self.refused: set[str] = set()
        self._server: HTTPServer | None = None
        self.start()
        self.stop()

    def start(self) -> None:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fits = len(told["title"] + told["message"]) < 2000 and told["title"] not in hook.refused
                if fits:
                    hook.taken.append(told)
                self.send_response(200 if fits else 400)
                self.end_headers()

            def log_message(self, *arguments: Any) -> None: ...

        port = self._server.server_port if self._server else 0
        self._server = HTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"json://someone:{SECRET}@127.0.0.1:{self._server.server_port}/hook"


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    hook = Webhook()
    hook.start()
    monkeypatch.setenv(VARIABLE, hook.url)
    yield hook
    hook.stop()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_an_alert_says_what_happened_the_figures_and_where_to_look(webhook: Webhook, workspace: Workspace) -> None:
    assert post(workspace, DRIFT)
    assert [alert.id for alert in deliver(workspace)] == ["drift-v1"]
    (taken,) = webhook.taken
    assert taken["title"] == "S²GR: drift"
    assert taken["type"] == "warning"
    for part in ("The codes have moved.", "PSI of code 1: 0.7123", "moved: a, b", "Look: s2gr drift"):
        assert part in taken["message"]


def test_posted_twice_it_is_sent_once(webhook: Webhook, workspace: Workspace) -> None:
    assert post(workspace, DRIFT)
    assert not post(workspace, DRIFT)
    deliver(workspace)
    assert not post(workspace, DRIFT)
    deliver(workspace)
    assert len(webhook.taken) == 1


def test_a_webhook_that_is_down_for_an_hour_gets_each_alert_once(webhook: Webhook, workspace: Workspace) -> None:
    webhook.stop()
    post(workspace, DRIFT, NOON)
    attempts = 0
    for minute in range(60):
        now = NOON + timedelta(minutes=minute)
        if minute == 30:
            post(workspace, Alert("retraining-1", "retraining", "started"), now)
        before = outbox(workspace)[0][0].attempts
        assert deliver(workspace, now) == []
        attempts += outbox(workspace)[0][0].attempts - before
    # 12:00, :01, :03, :07, :15, :31, and whenever the second is due: it does not hammer at a closed door.
    assert attempts == 10
    webhook.start()
    through = [alert.id for minute in range(60, 130) for alert in deliver(workspace, NOON + timedelta(minutes=minute))]
    # In the order in which they happened.
    assert through == ["drift-v1", "retraining-1"]
    assert [taken["title"] for taken in webhook.taken] == ["S²GR: drift", "started"]


def test_what_is_too_long_for_a_receiver_is_cut_and_says_where_the_whole_stands(
    webhook: Webhook, workspace: Workspace
) -> None:
    figures = {f"figure {number}": "ü" * 50 for number in range(100)}
    post(workspace, Alert("long", "published", "S²GR: published", "It is better.", figures, "s2gr versions"))
    assert len(deliver(workspace)) == 1
    (taken,) = webhook.taken
    assert taken["message"].startswith("It is better.\n\nfigure 0: ü")
    assert taken["message"].endswith("…\n\nThe whole: `s2gr alerts --json`\n\nLook: s2gr versions")
    shown = CliRunner().invoke(app, ["alerts", "--json", "--workdir", str(workspace.root)])
    assert json.loads(shown.stdout)[0]["figures"] == figures


def test_alerts_that_a_receiver_refuses_do_not_keep_the_others_for_ever(webhook: Webhook, workspace: Workspace) -> None:
    webhook.refused = {"first", "second"}
    for title in ("first", "second", "third", "fourth"):
        post(workspace, Alert(title, "failed", title), NOON)
    through = {minute: deliver(workspace, NOON + timedelta(minutes=minute)) for minute in range(180)}
    assert [alert.id for alerts in through.values() for alert in alerts] == ["third", "fourth"]
    post(workspace, Alert("fifth", "failed", "fifth"), NOON + timedelta(hours=3))
    assert [alert.id for alert in deliver(workspace, NOON + timedelta(hours=3))] == ["fifth"]
    # It may take them yet.
    webhook.refused = set()
    assert [alert.id for alert in deliver(workspace, everything=True)] == ["first", "second"]


def test_one_receiver_that_is_down_does_not_keep_the_others_waiting(
    webhook: Webhook, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Webhook()
    monkeypatch.setenv(VARIABLE, f"{webhook.url} {other.url}")
    post(workspace, DRIFT, NOON)
    assert deliver(workspace, NOON) == []
    assert (len(webhook.taken), len(other.taken)) == (1, 0)
    other.start()
    assert len(deliver(workspace, NOON + timedelta(minutes=1))) == 1
    assert (len(webhook.taken), len(other.taken)) == (1, 1)
    other.stop()


def test_a_silent_receiver_is_waited_for_once_a_round(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "json://127.0.0.1:1/")
    for number in range(5):
        post(workspace, Alert(f"a{number}", "failed", "failed"))
    asked: list[str] = []

    def silent(receiver: Any, alert: Alert) -> str:
        asked.append(alert.id)
        return "unreachable"

    assert deliver(workspace, send=silent) == []
    assert len(asked) == 1
    assert all(alert.attempts == 1 for alert, _ in outbox(workspace))


def test_no_secret_is_written_or_logged(
    webhook: Webhook, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("s2gr"), "propagate", True)
    webhook.stop()
    monkeypatch.setenv(VARIABLE, f"{webhook.url} unheardof://{SECRET}")
    post(workspace, DRIFT)
    with caplog.at_level(logging.INFO):
        deliver(workspace)
    written = "".join(path.read_text() for path in workspace.state.rglob("*.json"))
    shown = CliRunner().invoke(app, ["alerts", "--workdir", str(workspace.root)]).output
    webhook.start()
    assert "does not know such a URL" in written
    assert "json " in shown
    for text in (written, shown, caplog.text, repr(receivers(workspace))):
        assert SECRET not in text


def test_a_process_that_dies_after_sending_loses_nothing(
    webhook: Webhook, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    post(workspace, DRIFT)

    def die(path: Path, missing_ok: bool = False) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", die)
        with pytest.raises(KeyboardInterrupt):
            deliver(workspace)
    assert [(alert.id, through) for alert, through in outbox(workspace)] == [("drift-v1", True)]
    assert not post(workspace, DRIFT)


def test_nobody_to_tell_is_no_error_and_is_not_made_up_for_later(
    workspace: Workspace, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE)
    post(workspace, DRIFT)
    assert len(deliver(workspace)) == 1
    monkeypatch.setenv(VARIABLE, webhook.url)
    assert deliver(workspace) == []
    assert webhook.taken == []


def test_urls_come_from_a_file_where_the_variable_is_not_set(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    workspace.state.mkdir(parents=True)
    (workspace.state / "alert_urls").write_text("# on call\njson://a/\n\njson://b/\njson://a/\n")
    assert [receiver.url for receiver in receivers(workspace)] == ["json://a/", "json://b/"]
    monkeypatch.setenv(VARIABLE, "")
    assert receivers(workspace) == []


def test_urls_that_are_no_text_are_one_line_that_keeps_the_secret(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    workspace.state.mkdir(parents=True)
    (workspace.state / "alert_urls").write_bytes(f"json://höst/{SECRET}".encode("latin-1"))
    with pytest.raises(UserError, match="alert_urls: expected UTF-8 text") as found:
        receivers(workspace)
    assert SECRET not in "".join(traceback.format_exception(found.value))


def test_a_clock_that_was_set_back_does_not_delay_an_alert_for_days(webhook: Webhook, workspace: Workspace) -> None:
    webhook.stop()
    post(workspace, DRIFT, NOON)
    deliver(workspace, NOON)
    webhook.start()
    assert len(deliver(workspace, NOON - timedelta(days=3))) == 1


def test_a_damaged_file_does_not_stop_the_others(webhook: Webhook, workspace: Workspace) -> None:
    post(workspace, DRIFT)
    (workspace.state / "alerts/waiting/broken.json").write_text("{")
    assert len(deliver(workspace)) == 1


def test_what_was_sent_long_ago_is_forgotten(webhook: Webhook, workspace: Workspace) -> None:
    post(workspace, DRIFT, NOON)
    deliver(workspace, NOON)
    deliver(workspace, NOON + timedelta(days=89))
    assert len(outbox(workspace)) == 1
    deliver(workspace, NOON + timedelta(days=91))
    assert outbox(workspace) == []


def test_what_is_noticed_again_and_again_is_told_once(webhook: Webhook, workspace: Workspace) -> None:
    for day in range(200):
        now = NOON + timedelta(days=day)
        assert post(workspace, DRIFT, now) == (day == 0)
        deliver(workspace, now)
    assert len(webhook.taken) == 1
    deliver(workspace, now + timedelta(days=91))
    assert outbox(workspace) == []


def test_only_one_sends_at_a_time(webhook: Webhook, workspace: Workspace) -> None:
    post(workspace, DRIFT)
    inside: list[list[Alert]] = []

    def send(receiver: Any, alert: Alert) -> str:
        inside.append(deliver(workspace))
        return ""

    assert len(deliver(workspace, send=send)) == 1
    assert inside == [[]]


def test_the_command_tests_lists_and_sends(webhook: Webhook, workspace: Workspace) -> None:
    runner, where = CliRunner(), ["--workdir", str(workspace.root)]
    tested = runner.invoke(app, ["alerts", "--test", *where])
    assert tested.exit_code == 0, tested.output
    assert "sent" in tested.output
    webhook.stop()
    post(workspace, DRIFT)
    assert runner.invoke(app, ["alerts", *where]).exit_code == 0
    failed = runner.invoke(app, ["alerts", "--send", *where])
    assert failed.exit_code == 1
    assert "after 1 attempts" in " ".join(failed.output.split())
    webhook.start()
    assert runner.invoke(app, ["alerts", "--send", *where]).exit_code == 0
    told = json.loads(runner.invoke(app, ["alerts", "--json", *where]).stdout)
    assert [alert["through"] for alert in told] == [True, True]


def test_a_test_without_receivers_is_a_users_mistake(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    found = CliRunner().invoke(app, ["alerts", "--test", "--workdir", str(workspace.root)])
    assert found.exit_code == 2
    assert "nobody to tell" in found.output
    assert not os.path.exists(workspace.state / "alerts/waiting") or not os.listdir(workspace.state / "alerts/waiting")
