"""Many requests, one decoder: those that wait are ranked together, in one thread beside the event loop.

A batch is what has come in while the one before was computed, so nobody waits for a fuller one, and the busier the
service is, the fewer passes a request costs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from s2gr.reasoner.recommender import BEAM, IntArray, Recommended
from s2gr.serve.served import Served


class Overloaded(Exception):
    """As many requests wait as there is room for."""


@dataclass(frozen=True)
class Asked:
    """One request, looked up in the bundle that answers it."""

    served: Served
    history: IntArray  # rows, oldest first, at least one
    exclude: IntArray  # rows
    k: int

    @property
    def beam(self) -> int:
        """The width that it would have alone: an answer must not hang on who else has asked."""
        return max(BEAM, self.k)


@dataclass(frozen=True)
class _Waiting:
    asked: Asked
    answer: asyncio.Future[list[Recommended]]


class Batcher:
    """Ranks for :meth:`rank`'s callers while :meth:`run` runs.

    Args:
        most: requests in one batch.
        room: requests that may wait.
        told: called with the size of each batch.
    """

    def __init__(self, most: int, room: int, told: Callable[[int], None] = lambda size: None) -> None:
        self._most, self._room, self._told = most, room, told
        self._waiting: deque[_Waiting] = deque()
        self._come = asyncio.Event()
        # Whether a batch is being computed.
        self.busy = False
        self._thread = ThreadPoolExecutor(1, "decoder")

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def rank(self, asked: Asked) -> list[Recommended]:
        """The items for one request, best first. Raises: Overloaded."""
        if len(self._waiting) >= self._room:
            raise Overloaded
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(asked, answer))
        self._come.set()
        return await answer

    async def run(self) -> None:
        """Work off what comes, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            await self._come.wait()
            batch = self._next()
            if not batch:
                self._come.clear()
                continue
            self._told(len(batch))
            self.busy = True
            try:
                answers = await loop.run_in_executor(self._thread, rank_together, [each.asked for each in batch])
            except Exception as error:
                for each in batch:
                    if not each.answer.done():
                        each.answer.set_exception(error)
                continue
            finally:
                self.busy = False
            for each, items in zip(batch, answers, strict=True):
                if not each.answer.done():
                    each.answer.set_result(items)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _next(self) -> list[_Waiting]:
        """The oldest request that somebody still waits for, and those that can be ranked with it."""
        batch: list[_Waiting] = []
        others: list[_Waiting] = []
        while self._waiting and len(batch) < self._most:
            each = self._waiting.popleft()
            if each.answer.done():
                continue
            fits = not batch or (each.asked.served is batch[0].asked.served and each.asked.beam == batch[0].asked.beam)
            (batch if fits else others).append(each)
        self._waiting.extendleft(reversed(others))
        return batch


def rank_together(batch: Sequence[Asked]) -> list[list[Recommended]]:
    """The items for each request of one bundle and one width of the beam."""
    recommender = batch[0].served.recommender
    lengths = np.array([len(asked.history) for asked in batch])
    histories = np.full((len(batch), lengths.max()), -1)
    for row, asked in zip(histories, batch, strict=True):
        row[: len(asked.history)] = asked.history
    k = max(asked.k for asked in batch)
    ranking = recommender.rank(histories, lengths, k, batch[0].beam, [asked.exclude for asked in batch])
    described = recommender.described(ranking)
    return [items[: asked.k] for items, asked in zip(described, batch, strict=True)]
