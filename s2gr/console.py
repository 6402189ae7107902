"""What people see while something runs: a progress bar on a terminal, plain log lines elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True)
log = logging.getLogger("s2gr")

# Off a terminal a long loop says where it is this often, in seconds.
_LOG_EVERY = 10.0


def set_up_logging() -> None:
    """Log lines to stderr; the level comes from ``S2GR_LOG`` (default INFO)."""
    handler = _Handler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S"))
    log.handlers[:] = [handler]
    level = os.environ.get("S2GR_LOG", "INFO").upper()
    log.setLevel(level if level in logging.getLevelNamesMapping() else logging.INFO)
    log.propagate = False


class _Handler(logging.StreamHandler[TextIO]):
    """Writes above a progress bar rather than through it."""

    def emit(self, record: logging.LogRecord) -> None:
        if console.is_terminal:
            console.print(self.format(record), markup=False, emoji=False, highlight=False, soft_wrap=True)
        else:
            super().emit(record)


class Tracker:
    """Counts steps of one loop, with a short text such as the loss."""

    def __init__(self, description: str, total: int, bar: Progress | None) -> None:
        self._description, self._total, self._bar = description, total, bar
        self._done, self._started, self._last = 0, time.monotonic(), time.monotonic()
        self._task = bar.add_task(description, total=total, text="") if bar else None

    def advance(self, steps: int = 1, text: str = "") -> None:
        self._done += steps
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=steps, text=text)
            return
        now = time.monotonic()
        if now - self._last >= _LOG_EVERY and self._done:
            self._last = now
            left = (now - self._started) / self._done * (self._total - self._done)
            log.info("%s %d/%d %s, %.0f s left", self._description, self._done, self._total, text, left)


@contextmanager
def progress(description: str, total: int) -> Iterator[Tracker]:
    """Follow a loop of ``total`` steps."""
    if not sys.stderr.isatty():
        yield Tracker(description, total, None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield Tracker(description, total, bar)
