"""Requests over many kept connections: as fast as they are answered, or as they come by chance at a given rate.

A client of its own, as it has to cost little beside the service on the same two cores; httpx takes ten times as long.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np


@dataclass
class Outcome:
    """What became of many requests."""

    seconds: float = 0.0
    # Of each request, from when it was due to its answer.
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != 200)

    def quantile(self, share: float) -> float:
        """Of the latencies, in milliseconds."""
        return 1000 * float(np.quantile(self.latencies, share))


class Connection:
    """A kept HTTP/1.1 connection."""

    def __init__(self, address: str) -> None:
        self._host, self._port = urlsplit(address).hostname or "", urlsplit(address).port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        return int(head[9:12]), await reader.readexactly(length)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()


def posted(path: str, body: Any) -> bytes:
    """The bytes of a request with JSON."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: load\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


async def closed(
    address: str,
    requests: Sequence[bytes],
    concurrency: int,
    go_on: Callable[[int], bool],
    answered: Callable[[int, int, bytes], None] = lambda index, status, body: None,
) -> Outcome:
    """``concurrency`` callers, each of whom asks again when it is answered, while ``go_on(requests so far)``.

    Args:
        answered: called with the index of the request, the status and the body.
    """
    outcome, sent = Outcome(), 0

    async def caller() -> None:
        nonlocal sent
        connection = Connection(address)
        while go_on(sent):
            index, sent = sent % len(requests), sent + 1
            started = time.perf_counter()
            status, body = await connection.ask(requests[index])
            outcome.latencies.append(time.perf_counter() - started)
            outcome.statuses[status] = outcome.statuses.get(status, 0) + 1
            answered(index, status, body)
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(concurrency)))
    outcome.seconds = time.perf_counter() - started
    return outcome


async def by_chance(address: str, requests: Sequence[bytes], rate: float, seconds: float, seed: int = 0) -> Outcome:
    """Requests that come by themselves (Poisson), ``rate`` a second: a slow answer holds none of them back."""
    outcome, generator, idle = Outcome(), random.Random(seed), list[Connection]()

    async def one(request: bytes, due: float) -> None:
        connection = idle.pop() if idle else Connection(address)
        status, _ = await connection.ask(request)
        outcome.latencies.append(time.perf_counter() - due)
        outcome.statuses[status] = outcome.statuses.get(status, 0) + 1
        idle.append(connection)

    started = due = time.perf_counter()
    running: set[asyncio.Task[None]] = set()
    index = 0
    while due < started + seconds:
        due += generator.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(requests[index % len(requests)], due))
        running.add(task)
        task.add_done_callback(running.discard)
        index += 1
    await asyncio.gather(*running)
    outcome.seconds = time.perf_counter() - started
    for connection in idle:
        connection.close()
    return outcome
