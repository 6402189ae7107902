"""How long a piece of work took, over all the processes that it took: a killed training that goes on has cost both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """Seconds on the clock, and of this process on the processor."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: Effort) -> Effort:
        return Effort(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)


class Stopwatch:
    """Runs from its making."""

    def __init__(self) -> None:
        self._started = time.monotonic(), time.process_time()
        self._earlier = Effort()

    def go_on_from(self, earlier: Effort) -> None:
        """Count what another process has done of the same work."""
        self._earlier += earlier

    def read(self) -> Effort:
        started, processor = self._started
        return Effort(time.monotonic() - started, time.process_time() - processor) + self._earlier


_running: ContextVar[Stopwatch | None] = ContextVar("running", default=None)


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """One that what runs in the block finds as :func:`running`."""
    watch = Stopwatch()
    token = _running.set(watch)
    try:
        yield watch
    finally:
        _running.reset(token)


def running() -> Stopwatch:
    """The stopwatch of the work that this is part of; a new one, if nobody measures it."""
    return _running.get() or Stopwatch()
