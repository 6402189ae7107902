"""A connection of the service: the head of a request has as long to arrive as its body (``serve.timeout``).

uvicorn waits for a head without limit, so that connections which never finish theirs would be kept for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol


def connection(seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol, closing connections whose first byte, or the rest of whose head, does not come in time."""

    class Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        _late: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._late = self.loop.call_later(seconds, transport.close)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # uvicorn's name for a request whose head is here, and its answer.
            if self.cycle is not None and not self.cycle.response_complete:
                self._in_time()
            elif self._late is None:
                self._late = self.loop.call_later(seconds, self.transport.close)

        def connection_lost(self, exc: Exception | None) -> None:
            self._in_time()
            super().connection_lost(exc)

        def _in_time(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

    return Connection
