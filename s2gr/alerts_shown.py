"""The alerts of a work folder as people see them in a terminal, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from s2gr.alerts import VARIABLE, Alert, outbox, post, receivers
from s2gr.errors import UserError
from s2gr.workspace import Workspace


def post_test(workspace: Workspace) -> None:
    """Raises: UserError: there is nobody to tell."""
    if not receivers(workspace):
        where = workspace.state / "alert_urls"
        raise UserError(f"there is nobody to tell: put apprise URLs, one a line, into {where} or ${VARIABLE}")
    now = datetime.now(UTC)
    text = "Nothing happened; somebody typed `s2gr alerts --test`."
    post(workspace, Alert(f"test-{now:%Y%m%dT%H%M%S.%f}", "test", "S²GR: test of the alerts", text, look="s2gr alerts"))


def waiting(workspace: Workspace) -> list[Alert]:
    """What is not through."""
    return [alert for alert, through in outbox(workspace) if not through]


def as_json(workspace: Workspace) -> str:
    told = [{**asdict(alert), "through": through} for alert, through in outbox(workspace)]
    return json.dumps(told, ensure_ascii=False, indent=2)


def print_alerts(workspace: Workspace, console: Console) -> None:
    """A row per alert, the newest last."""
    table = Table(title="Alerts")
    for column in ("when", "kind", "what", "state"):
        table.add_column(column, overflow="fold")
    for alert, through in outbox(workspace):
        table.add_row(alert.created[:19].replace("T", " "), alert.kind, Text(alert.title), Text(_state(alert, through)))
    console.print(table)
    names = ", ".join(receiver.name for receiver in receivers(workspace))
    console.print(Text(f"receivers: {names or f'none; see {VARIABLE} in docs/operations.md'}"), soft_wrap=True)


def _state(alert: Alert, through: bool) -> str:
    if through:
        return "sent" if alert.taken else "noted; there was nobody to tell"
    if not alert.attempts:
        return "waits to be sent"
    return f"waits until {alert.due[11:16]} after {alert.attempts} attempts ({alert.refused})"
