"""Requests that are ranked together: none changes another's answer, none waits without end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from s2gr.params import Params, Runtime
from s2gr.reasoner.recommender import Ranking, Recommended
from s2gr.serve import batching
from s2gr.serve.batching import Asked, Batcher, Overloaded
from s2gr.serve.decoders import Decoder
from s2gr.serve.served import Lists, Served, Shelf
from s2gr.workspace import Workspace

NOTHING = np.array([], dtype=np.int64)


@pytest.fixture
def bundle(served: Workspace) -> Served:
    return Shelf(served.published, Params(runtime=Runtime(threads=1)), Lists()).current


def asked(bundle: Served, number: int = 0, k: int = 4) -> Asked:
    history = np.arange(number, number + 1 + number % 5)
    return Asked(bundle, history, history if number % 2 else NOTHING, k)


def answers(batcher: Batcher, asks: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        working = asyncio.create_task(batcher.run())
        try:
            return await asks()
        finally:
            working.cancel()
            batcher.close()

    return asyncio.run(run())


def alone(each: Asked) -> list[Recommended]:
    recommender = each.served.recommender
    ranking = recommender.rank(each.history[None], np.array([len(each.history)]), each.k, each.beam, [each.exclude])
    return recommender.described(ranking)[0]


def test_an_answer_does_not_hang_on_who_else_asks(bundle: Served) -> None:
    batch = [asked(bundle, number, k=1 + number % 6) for number in range(20)]
    sizes: list[int] = []
    batcher = Batcher(32, 100, lambda size, seconds: sizes.append(size))
    found = answers(batcher, lambda: asyncio.gather(*map(batcher.rank, batch)))
    assert sizes == [20]
    for together, alone_ in zip(found, map(alone, batch), strict=True):
        assert [item.item_id for item in together] == [item.item_id for item in alone_]
        assert [item.score for item in together] == pytest.approx([item.score for item in alone_], rel=1e-4)


def test_what_waits_is_ranked_together_by_bundle_and_width(bundle: Served, served: Workspace) -> None:
    other = Shelf(served.published, Params(runtime=Runtime(threads=1)), Lists()).current
    asks = [asked(bundle), asked(other), asked(bundle, 1), asked(bundle, 2, k=30), asked(other, 1), asked(bundle, 3)]
    sizes: list[int] = []
    batcher = Batcher(2, 100, lambda size, seconds: sizes.append(size))

    async def all_at_once() -> list[list[Recommended]]:
        return await asyncio.gather(*map(batcher.rank, asks))

    found = answers(batcher, all_at_once)
    assert sorted(sizes) == [1, 1, 2, 2]
    assert [[item.item_id for item in items] for items in found] == [
        [item.item_id for item in alone(each)] for each in asks
    ]


def test_there_is_room_for_so_many_and_who_gave_up_takes_none_of_the_work(
    bundle: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, ranked = threading.Event(), []

    def slow(batch: Any) -> Ranking:
        free.wait(60)
        ranked.append(len(batch.waiting))
        return Ranking(np.full((1, 1), -1), np.zeros((1, 1), np.float32))

    monkeypatch.setattr(batching, "rank_here", slow)
    batcher = Batcher(8, 2)

    async def too_many() -> None:
        running = asyncio.create_task(batcher.rank(asked(bundle)))
        while not batcher.busy:
            await asyncio.sleep(0.001)
        waiting = [asyncio.create_task(batcher.rank(asked(bundle, number))) for number in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batcher.rank(asked(bundle))
        waiting[0].cancel()
        free.set()
        assert await running == []
        assert await waiting[1] == []

    answers(batcher, too_many)
    assert ranked == [1, 1]


def test_a_batch_that_fails_fails_for_those_in_it_alone(bundle: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    rank = batching.rank_here

    def failing(batch: Any) -> Ranking:
        if len(batch.waiting[0].asked.history) == 1:
            raise ValueError("broken")
        return rank(batch)

    monkeypatch.setattr(batching, "rank_here", failing)
    batcher = Batcher(1, 100)

    async def both() -> Any:
        return await asyncio.gather(*map(batcher.rank, (asked(bundle), asked(bundle, 1))), return_exceptions=True)

    failed, found = answers(batcher, both)
    assert isinstance(failed, ValueError)
    assert len(found) == 4


def test_a_process_that_can_not_be_started_is_tried_again_and_stops_nobody(
    bundle: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, told = 0, []

    def start() -> Decoder:
        nonlocal tries
        tries += 1
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(batching, "_AGAIN", 0.01)
    monkeypatch.setattr(batching.log, "warning", lambda line, *values: told.append(line % values))
    batcher = Batcher(4, 100)

    async def meanwhile() -> list[Recommended]:
        working = asyncio.create_task(batcher.run([start]))
        while tries < 2 and not working.done():
            await asyncio.sleep(0.01)
        found = await asyncio.wait_for(batcher.rank(asked(bundle)), 60)
        working.cancel()
        return found

    found = asyncio.run(meanwhile())
    batcher.close()
    assert [item.item_id for item in found] == [item.item_id for item in alone(asked(bundle))]
    assert "can't be started (BlockingIOError(11, 'Resource temporarily unavailable'))" in told[0]


def test_processes_rank_as_the_service_does_and_one_that_dies_loses_nothing(bundle: Served) -> None:
    started: list[Decoder] = []

    def start() -> Decoder:
        started.append(Decoder(bundle.folder, Params(runtime=Runtime(threads=1))))
        return started[-1]

    batcher = Batcher(4, 100)
    asks = [asked(bundle, number) for number in range(12)]

    async def with_a_death() -> list[Any]:
        working = asyncio.create_task(batcher.run([start]))
        found = []
        for _ in range(2):
            while not batcher.joined:
                found.append(await batcher.rank(asks[0]))
                await asyncio.sleep(0.05)
            found += await asyncio.gather(*map(batcher.rank, asks))
            started[-1]._process.kill()
            started[-1]._process.join()
            found += await asyncio.gather(*map(batcher.rank, asks))
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return found

    found = asyncio.run(with_a_death())
    batcher.close()
    assert len(started) >= 2
    expected = {tuple(item.item_id for item in alone(each)) for each in asks}
    assert {tuple(item.item_id for item in items) for items in found} == expected
