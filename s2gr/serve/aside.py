"""A thread for what would keep the event loop from answering others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from s2gr.serve.batching import Overloaded

Result = TypeVar("Result")


class Aside:
    """Works on one thing at a time.

    Args:
        waiting: how many may be worked on or wait.
    """

    def __init__(self, name: str, waiting: int) -> None:
        self._thread, self._places = ThreadPoolExecutor(1, name), asyncio.Semaphore(waiting)

    async def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Raises: Overloaded: there is no place to wait."""
        if self._places.locked():
            raise Overloaded
        async with self._places:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
