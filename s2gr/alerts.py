"""Alerts: what happened, the figures, and where to look, through `apprise` to whoever should know.

An alert is a file in ``.s2gr/alerts/waiting`` until every receiver has taken it, and in ``.s2gr/alerts/sent`` after, so
that an unreachable receiver neither stops a run nor loses an alert. Its id makes it unique: posted twice, it is sent
once. Receivers are apprise URLs (https://github.com/caronc/apprise), one a line, in the environment variable
``S2GR_ALERT_URLS`` or the file ``.s2gr/alert_urls``. They hold secrets: nothing else of them than their kind is ever
written or logged.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from s2gr.console import log
from s2gr.errors import UserError
from s2gr.workspace import Workspace, read_json, write_json

VARIABLE = "S2GR_ALERT_URLS"

Kind = Literal["drift", "refused", "failed", "waiting", "retraining", "published", "rejected", "test"]

# Between two attempts: doubled each time, up to the second.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
# Characters of text and figures that are sent: Discord refuses 2,000 with what comes around them.
_LONGEST = 1500
# So often a receiver is asked to take an alert, over seven minutes, before what comes after it goes out nonetheless.
_STUBBORN = 3
# So long an alert that was sent is remembered after whoever notices what it is about has last posted it.
_REMEMBERED = timedelta(days=90)
_SEVERITY = {
    "drift": "warning",
    "refused": "warning",
    "failed": "failure",
    "waiting": "warning",
    "rejected": "warning",
    "published": "success",
}


@dataclass(frozen=True)
class Alert:
    """One thing that happened."""

    # Unique for what happened: whoever notices it twice posts it once.
    id: str
    kind: Kind
    # One line: what happened.
    title: str
    # Why, and what it means.
    text: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    # A link, or a command to type.
    look: str = ""
    created: str = ""
    # Of the receivers that have taken it, and what can be told of those that have not.
    taken: tuple[str, ...] = ()
    attempts: int = 0
    # Attempts in which a receiver had a say: it was not silent already, for an older alert's sake.
    asked: int = 0
    due: str = ""
    refused: str = ""

    @property
    def body(self) -> str:
        """Everything but the title, as plain text that any receiver takes."""
        figures = "\n".join(f"{name}: {_figure(value)}" for name, value in self.figures.items())
        told = "\n\n".join(part for part in (self.text, figures) if part)
        if len(told) > _LONGEST:
            told = f"{told[:_LONGEST]}…\n\nThe whole: `s2gr alerts --json`"
        look = f"Look: {self.look}" if self.look else ""
        return "\n\n".join(part for part in (told, look) if part) or self.title


@dataclass(frozen=True)
class Receiver:
    """An apprise URL; only :attr:`name` may be shown."""

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """Its kind and eight digits that tell it from others of its kind."""
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:8]
        return f"{self.url.split(':', 1)[0] if ':' in self.url else 'no URL'} {digest}"


# Hands an alert to a receiver; says what went wrong, without secrets, or nothing.
Send = Callable[[Receiver, Alert], str]


def receivers(workspace: Workspace) -> list[Receiver]:
    """Those of the environment, else those of ``.s2gr/alert_urls``. Raises: UserError: it is no text."""
    told = os.environ.get(VARIABLE)
    path = workspace.state / "alert_urls"
    if told is None and path.exists():
        try:
            told = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            # Not from the error, which holds the secrets.
            raise UserError(f"{path}: expected UTF-8 text, a URL a line, found other bytes; save it as UTF-8") from None
    lines = [line for line in (told or "").splitlines() if not line.lstrip().startswith("#")]
    return [Receiver(url) for url in dict.fromkeys(" ".join(lines).split())]


def post(workspace: Workspace, alert: Alert, now: datetime | None = None) -> bool:
    """Keep ``alert`` until it is sent; whether it is news. It waits for nobody."""
    now = now or datetime.now(UTC)
    waiting, sent = _folders(workspace)
    name = _file_name(alert.id)
    # In this order: on its way from one to the other an alert is in both for a moment.
    if (waiting / name).exists() or _remembered(sent / name, now):
        return False
    created = now.isoformat(timespec="seconds")
    write_json(asdict(replace(alert, created=created, due=created)), waiting / name)
    log.info("alert: %s", alert.title)
    return True


def deliver(
    workspace: Workspace, now: datetime | None = None, everything: bool = False, send: Send | None = None
) -> list[Alert]:
    """Send what waits, oldest first, if any of it is due; what a receiver does not take is tried again later.

    Returns: the alerts that are through.

    Args:
        everything: also what is not due yet.
        send: how; by default through apprise.
    """
    now = now or datetime.now(UTC)
    waiting, sent = _folders(workspace)
    through = []
    with _alone(waiting.parent) as alone:
        if not alone:
            return []
        attempt = _Attempt(receivers(workspace), now, send or by_apprise)
        queue = [(path, alert) for path in waiting.glob("*.json") if (alert := _read(path)) is not None]
        # Nobody shall hear of the retraining before the drift: if one is tried, all are that are older, and those that
        # are newer cost nothing more, as a receiver that fails is not asked again in this round.
        queue.sort(key=lambda pair: (pair[1].created, pair[0].stat().st_mtime_ns))
        for path, alert in queue if everything or any(_is_due(alert, now) for _, alert in queue) else ():
            tried = attempt.of(alert)
            if tried.refused:
                write_json(asdict(tried), path)
            else:
                # First there, then gone here: a process that dies in between sends it twice rather than never.
                write_json(asdict(tried), sent / path.name)
                _remembered(sent / path.name, now)
                path.unlink()
                through.append(tried)
        _forget(sent, now)
    return through


def outbox(workspace: Workspace) -> list[tuple[Alert, bool]]:
    """All alerts that are remembered, oldest first, each with whether it is through."""
    waiting, sent = _folders(workspace)
    found = {alert.id: (alert, folder == sent) for folder in (waiting, sent) for alert in _alerts(folder)}
    return sorted(found.values(), key=lambda pair: (pair[0].created, pair[0].id))


def by_apprise(receiver: Receiver, alert: Alert) -> str:
    """Send through apprise, which knows some hundred kinds of receivers."""
    # It logs what it sends, and to whom.
    logging.getLogger("apprise").disabled = True
    import apprise

    channel = apprise.Apprise()
    if not channel.add(receiver.url):
        return "apprise does not know such a URL"
    try:
        kind = apprise.NotifyType(_SEVERITY.get(alert.kind, "info"))
        text = apprise.NotifyFormat.TEXT
        taken = bool(channel.notify(body=alert.body, title=alert.title, notify_type=kind, body_format=text))
    except Exception as error:
        # Its plugins raise what their libraries raise; the message may hold the URL.
        return f"apprise failed with {type(error).__name__}"
    return "" if taken else "it did not take the alert: unreachable, or it refused it"


@dataclass
class _Attempt:
    """One round with every receiver."""

    named: Sequence[Receiver]
    now: datetime
    send: Send
    # Receivers that have failed in this round are not waited for again.
    silent: dict[str, str] = field(default_factory=dict)

    def of(self, alert: Alert) -> Alert:
        """``alert`` after an attempt with every receiver that has not taken it."""
        taken, faults, asked = list(alert.taken), [], False
        for receiver in self.named:
            name = receiver.name
            if name in taken:
                continue
            fault = self.silent.get(name, "")
            if not fault:
                asked, fault = True, self.send(receiver, alert)
                # The fault may lie in the alert: what is refused again and again must not keep the next ones for ever.
                if fault and alert.asked < _STUBBORN:
                    self.silent[name] = fault
            if fault:
                faults.append(f"{name}: {fault}")
            else:
                taken.append(name)
        pause = min(FIRST_PAUSE * 2 ** min(alert.attempts, 10), LONGEST_PAUSE)
        for fault in faults:
            log.warning("alert %s: %s; next attempt in %d min", alert.id, fault, pause.total_seconds() // 60)
        return replace(
            alert,
            taken=tuple(taken),
            attempts=alert.attempts + 1,
            asked=alert.asked + asked,
            due=(self.now + pause).isoformat(timespec="seconds"),
            refused="; ".join(faults),
        )


def _is_due(alert: Alert, now: datetime) -> bool:
    due = datetime.fromisoformat(alert.due)
    # A clock that was set back must not make it wait for days.
    return due <= now or due > now + LONGEST_PAUSE


def _folders(workspace: Workspace) -> tuple[Path, Path]:
    """Of the alerts that wait, and of those that are through."""
    found = workspace.state / "alerts/waiting", workspace.state / "alerts/sent"
    for folder in found:
        folder.mkdir(parents=True, exist_ok=True)
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether nobody else is sending."""
    with (folder / ".lock").open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _alerts(folder: Path) -> list[Alert]:
    return [alert for path in sorted(folder.glob("*.json")) if (alert := _read(path)) is not None]


def _read(path: Path) -> Alert | None:
    try:
        told = read_json(path)
        return Alert(**{**told, "taken": tuple(told["taken"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("%s is no alert of ours (%s)", path, error)
        return None


def _remembered(path: Path, now: datetime) -> bool:
    """Whether an alert was sent; if so, it is remembered from now on."""
    try:
        os.utime(path, (now.timestamp(), now.timestamp()))
    except OSError:
        # It is another user's, or there is none.
        return path.exists()
    return True


def _forget(folder: Path, now: datetime) -> None:
    for path in folder.glob("*.json"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < (now - _REMEMBERED).timestamp():
                path.unlink()


def _file_name(identity: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", identity)[:150] + ".json"


def _figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
