"""What every request goes through before it is looked at: size, time to arrive, API key; and how it is counted."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Sequence
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from s2gr.serve.monitoring import Monitoring

# Without a key: whether it is alive, and how to ask.
OPEN = ("/health", "/docs", "/openapi.json", "/static-offline-docs")
# For load balancers that ask again.
_RETRY_AFTER = {
    HTTPStatus.SERVICE_UNAVAILABLE: {"retry-after": "1"},
    HTTPStatus.UNAUTHORIZED: {"www-authenticate": "Bearer"},
}


def problem(status: HTTPStatus, told: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An answer that says in one line what is wrong."""
    return JSONResponse({"error": told}, status, {**_RETRY_AFTER.get(status, {}), **(headers or {})})


class Gate:
    """ASGI middleware.

    Args:
        body: bytes that a request may have.
        seconds: for a body to arrive.
        keys: one of them must be given, unless there are none.
    """

    def __init__(self, app: ASGIApp, body: int, seconds: float, keys: Sequence[str], monitoring: Monitoring) -> None:
        self._app, self._body, self._seconds, self._monitoring = app, body, seconds, monitoring
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            headers = Headers(scope=scope)
            if not self._may(scope["path"], headers):
                refused = "give the API key as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
                await problem(HTTPStatus.UNAUTHORIZED, refused)(scope, receive, counted)
                return
            read = await self._read(headers, receive) if scope["method"] == "POST" else receive
            await (read if isinstance(read, JSONResponse) else self._app)(
                scope, receive if isinstance(read, JSONResponse) else read, counted
            )
        finally:
            self._monitoring.answered(scope["path"], status, time.perf_counter() - started)

    def _may(self, path: str, headers: Headers) -> bool:
        if not self._keys or path.startswith(OPEN):
            return True
        given = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        # The bytes that came: starlette reads headers as Latin-1, which has all of them. Every key is compared, each in
        # constant time: how long it takes tells nothing.
        return sum(hmac.compare_digest(given.encode("latin-1"), key) for key in self._keys) > 0

    async def _read(self, headers: Headers, receive: Receive) -> Receive | JSONResponse:
        """The body, once it is here as a whole, or why it is not taken."""
        too_large = problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {self._body:,} bytes")
        told = headers.get("content-length", "")
        if told.isdecimal() and int(told) > self._body:
            return too_large
        body, more = b"", True
        try:
            async with asyncio.timeout(self._seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        break
                    body, more = body + message.get("body", b""), message.get("more_body", False)
                    if len(body) > self._body:
                        return too_large
        except TimeoutError:
            return problem(HTTPStatus.REQUEST_TIMEOUT, f"the body did not arrive within {self._seconds:g} s")
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        return again
