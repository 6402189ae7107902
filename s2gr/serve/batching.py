"""Many requests, few passes of the network: those that wait are ranked together, beside the event loop.

A batch is what has come in while all decoders were busy, so nobody waits for a fuller one, and the busier the service
is, the fewer passes a request costs.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from s2gr.console import log
from s2gr.reasoner.recommender import BEAM, IntArray, Ranking, Recommended
from s2gr.serve.decoders import Decoder, Lost
from s2gr.serve.served import Served

# Seconds before another process is started in the place of one that is gone.
_AGAIN = 1.0


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


@dataclass(frozen=True)
class _Batch:
    """Requests of one bundle and one width of the beam, as the recommender takes them."""

    waiting: Sequence[_Waiting]

    @property
    def served(self) -> Served:
        return self.waiting[0].asked.served

    def arguments(self) -> tuple[IntArray, IntArray, int, int, list[IntArray]]:
        """Of ``Recommender.rank``."""
        asked = [each.asked for each in self.waiting]
        lengths = np.array([len(each.history) for each in asked])
        histories = np.full((len(asked), lengths.max()), -1)
        for row, each in zip(histories, asked, strict=True):
            row[: len(each.history)] = each.history
        return histories, lengths, max(each.k for each in asked), asked[0].beam, [each.exclude for each in asked]

    def answer(self, ranking: Ranking) -> None:
        for each, items in zip(self.waiting, self.served.recommender.described(ranking), strict=True):
            if not each.answer.done():
                each.answer.set_result(items[: each.asked.k])

    def fail(self, error: Exception) -> None:
        for each in self.waiting:
            if not each.answer.done():
                each.answer.set_exception(error)


class Batcher:
    """Ranks for :meth:`rank`'s callers while :meth:`run` runs.

    Args:
        most: requests in one batch.
        room: requests that may wait.
        told: called with the size of each batch, and the seconds that it took.
    """

    def __init__(self, most: int, room: int, told: Callable[[int, float], None] = lambda size, seconds: None) -> None:
        self._most, self._room, self._told = most, room, told
        self._waiting: deque[_Waiting] = deque()
        self._come = asyncio.Event()
        # Processes that have joined; without any the service ranks itself.
        self.joined = 0
        self._alone = asyncio.Event()
        self._alone.set()
        # Batches that are being ranked.
        self.busy = 0
        self._own_thread = ThreadPoolExecutor(1, "decoder")

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

    async def run(self, decoders: Sequence[Callable[[], Decoder]] = ()) -> None:
        """Work off what comes, for ever: in a thread, and in the processes that ``decoders`` start."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._in_thread())
            for start in decoders:
                group.create_task(self._in_process(start))

    async def _in_thread(self) -> None:
        while True:
            await self._alone.wait()
            batch = await self._next()
            await self._ranked(batch, self._own_thread, rank_here)

    async def _in_process(self, start: Callable[[], Decoder]) -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "pipe") as thread:
            while True:
                decoder: Decoder | None = None
                joined = False
                try:
                    decoder = await loop.run_in_executor(thread, start)
                    await loop.run_in_executor(thread, decoder.wait)
                    joined = True
                    self._join(1)
                    while True:
                        batch = await self._next()
                        await self._ranked(batch, thread, partial(_rank_there, decoder))
                except Lost:
                    log.warning("a decoder process is gone; another one is started")
                except Exception as error:
                    # Out of memory, processes or open files: the thread and the other processes go on ranking.
                    log.warning("a decoder process can't be started (%r); tried again in %g s", error, _AGAIN)
                finally:
                    if decoder:
                        decoder.close()
                    self._join(-1 if joined else 0)
                await asyncio.sleep(_AGAIN)

    def _join(self, change: int) -> None:
        self.joined += change
        (self._alone.clear if self.joined else self._alone.set)()

    async def _ranked(self, batch: _Batch, thread: ThreadPoolExecutor, rank: Callable[[_Batch], Ranking]) -> None:
        """Raises: Lost: the requests wait again."""
        loop, started = asyncio.get_running_loop(), time.perf_counter()
        self.busy += 1
        try:
            try:
                ranking = await loop.run_in_executor(thread, rank, batch)
            except RuntimeError as error:
                # A bundle that is no more there, for example: this process has it in memory.
                log.warning("a decoder process failed (%s); the service ranks itself", error)
                ranking = await loop.run_in_executor(self._own_thread, rank_here, batch)
            batch.answer(ranking)
            self._told(len(batch.waiting), time.perf_counter() - started)
        except Lost:
            self._waiting.extendleft(reversed(batch.waiting))
            self._come.set()
            raise
        except Exception as error:
            batch.fail(error)
        finally:
            self.busy -= 1

    def close(self) -> None:
        self._own_thread.shutdown(wait=False, cancel_futures=True)

    async def _next(self) -> _Batch:
        while not (batch := self._taken()):
            self._come.clear()
            await self._come.wait()
        return _Batch(batch)

    def _taken(self) -> list[_Waiting]:
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


@torch.inference_mode()
def rank_here(batch: _Batch) -> Ranking:
    return batch.served.recommender.rank(*batch.arguments())


def _rank_there(decoder: Decoder, batch: _Batch) -> Ranking:
    return decoder.rank(batch.served.folder, *batch.arguments())
