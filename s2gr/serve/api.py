"""The service: recommendations, explanations and similar items over HTTP, from whatever bundle is published."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from s2gr import __version__
from s2gr.console import log
from s2gr.params import Serve
from s2gr.reasoner.recommender import IntArray, Recommended, with_fresh
from s2gr.serve.aside import Aside
from s2gr.serve.batching import Asked, Batcher, Overloaded
from s2gr.serve.decoders import Decoder
from s2gr.serve.explained import Explained
from s2gr.serve.gate import Gate, problem
from s2gr.serve.messages import Health, Problem, Recommendations, Requests, SimilarItems, Version
from s2gr.serve.monitoring import Monitoring
from s2gr.serve.served import Served, Shelf, similar

_ABOUT = """Recommendations of a published S²GR model, and why.

Whatever version is published, and whatever lists of allowed items change, is taken over while the service runs; each
answer names the version that it is from. Requests that come together are ranked together."""
# Explanations that may wait, and searches for similar items: each takes up to some tens of milliseconds.
_ASIDE = 32
# Item ids of the examples where a key is asked for: the documentation is open, the catalogue is not.
_MADE_UP = ("an item", "another item", "a third one")
# After a failure, times the usual time between two looks at what is published.
_PATIENCE = 10
_TOLD = {
    400: "No JSON.",
    401: "No API key, or a wrong one.",
    404: "Nothing of it is an item of the published model.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    422: "Not what the schema says.",
    503: "Too busy: try again.",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": told} for status, told in _TOLD.items()
}


def application(shelf: Shelf, limits: Serve, keys: Sequence[str] = ()) -> FastAPI:
    """The ASGI application.

    Args:
        keys: one of them must come with each request but those for health and documentation, unless there are none.
    """
    monitoring = Monitoring(lambda: len(batcher), lambda: batcher.joined)
    batcher = Batcher(limits.batch, limits.waiting, monitoring.ranked)
    explaining, comparing = Aside("explaining", _ASIDE), Aside("comparing", _ASIDE)
    requests = Requests.of(limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        _told(shelf, monitoring)
        working = batcher.run([lambda: Decoder(shelf.current.folder, shelf.params)] * limits.decoders)
        tasks = [asyncio.create_task(working), asyncio.create_task(_watch(shelf, limits.look, monitoring))]
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        batcher.close()
        explaining.close()
        comparing.close()

    app = FastAPIOffline(
        redoc_url=None, title="S²GR", version=__version__, description=_ABOUT, lifespan=lifespan, favicon_url="data:,"
    )
    app.add_middleware(Gate, body=limits.body_kb * 1024, seconds=limits.timeout, keys=keys, monitoring=monitoring)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)

    async def ranked(served: Served, rows: IntArray, exclude: IntArray, k: int, fresh: int) -> list[Recommended]:
        best = batcher.rank(Asked(served, rows, exclude, k))
        if not fresh:
            return await best
        unmet = Asked(served, rows, served.recommender.all_but_unmet(exclude), k)
        return with_fresh(*await asyncio.gather(best, batcher.rank(unmet)), k, fresh)

    async def recommend(asked: requests.recommend) -> Response:  # type: ignore[name-defined]
        """What comes next after a history."""
        served = shelf.current
        rows, unknown = _known(served, asked.history)
        exclude = _hidden(served, asked, rows)
        items = await _in_time(limits, ranked(served, rows, exclude, asked.k, asked.fresh))
        return _answer({"version": served.version, "unknown": unknown, "items": [vars(item) for item in items]})

    async def explain(asked: requests.explain) -> Response:  # type: ignore[name-defined]
        """The same, and why: the model's path to each item, ways not taken, what was read, which source gave how much.

        `faithfulness` says how much of that is why the item is there, as measured when the bundle was evaluated.
        """
        served = shelf.current
        rows, unknown = _known(served, asked.history)
        exclude = _hidden(served, asked, rows)
        found = await _in_time(limits, explaining.run(served.explainer.of_rows, rows, asked.k, exclude))
        return _answer({**asdict(found), "unknown": unknown})

    async def similar_to(asked: requests.similar) -> Response:  # type: ignore[name-defined]
        """Items like one, as the model has learned them from what they are and what people take with them."""
        served = shelf.current
        rows, _ = _known(served, [asked.item_id])
        hidden = _hidden(served, asked)
        found = await _in_time(limits, comparing.run(similar, served, int(rows[0]), asked.k, hidden))
        items = [{**vars(served.recommender.item(row)), "cosine": cosine} for row, cosine in found]
        return _answer({"version": served.version, "items": items})

    async def health() -> Response:
        """Whether the service is ready: it is from its first answer on."""
        return _answer({"status": "ok", "version": shelf.current.version})

    async def version() -> Response:
        """What is served, and where it came from."""
        served = shelf.current
        items = len(served.recommender.item_ids) - len(served.hidden)
        told = {"s2gr": __version__, "version": served.version, "items": items, "bundle": served.facts}
        return _answer(told)

    async def metrics() -> Response:
        """For Prometheus."""
        return Response(monitoring.text(), media_type="text/plain; version=0.0.4")

    async def busy(*_: Any) -> Response:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests wait, or this one took too long: try again")

    app.add_exception_handler(Overloaded, busy)
    # For the documentation's page; the gate is what asks for it.
    locks = [Security(APIKeyHeader(name="X-API-Key", auto_error=False))] if keys else []
    examples = _examples(_MADE_UP if keys else shelf.current.recommender.item_ids[:3])
    for path, function, model in (
        ("/recommend", recommend, Recommendations),
        ("/explain", explain, Explained),
        ("/similar", similar_to, SimilarItems),
    ):
        more = {"requestBody": {"content": {"application/json": {"example": examples[path]}}}}
        app.post(path, response_model=model, responses=_PROBLEMS, openapi_extra=more, dependencies=locks)(function)
    open_problems: dict[int | str, dict[str, Any]] = {401: _PROBLEMS[401]}
    app.get("/", include_in_schema=False)(lambda: RedirectResponse("docs"))
    app.get("/health", response_model=Health)(health)
    app.get("/version", response_model=Version, responses=open_problems, dependencies=locks)(version)
    app.get("/metrics", response_class=_Text, responses=open_problems, dependencies=locks)(metrics)
    return app


class _Text(Response):
    media_type = "text/plain"


async def _watch(shelf: Shelf, seconds: float, monitoring: Monitoring) -> None:
    """Take over what is published and which lists change, for ever."""
    failed = ""
    while True:
        await asyncio.sleep(seconds * (_PATIENCE if failed else 1))
        try:
            if await asyncio.to_thread(shelf.refresh):
                monitoring.taken_over("done")
                _told(shelf, monitoring)
            failed = ""
        except Exception as error:
            monitoring.taken_over("failed")
            if str(error) != failed:
                log.error("goes on serving %s: %s", shelf.current.version, error)
            failed = str(error) or repr(error)


def _told(shelf: Shelf, monitoring: Monitoring) -> None:
    served = shelf.current
    monitoring.serves(served.version, len(served.recommender.item_ids) - len(served.hidden))


async def _in_time(limits: Serve, answer: Any) -> Any:
    try:
        async with asyncio.timeout(limits.timeout):
            return await answer
    except TimeoutError:
        raise Overloaded from None


def _known(served: Served, item_ids: Sequence[str]) -> tuple[IntArray, list[str]]:
    """The rows of those that the bundle knows, in their order, and the others. Raises: HTTPException: none is known."""
    row_of = served.recommender.row_of
    rows = [row_of[item_id] for item_id in item_ids if item_id in row_of]
    if not rows:
        raise HTTPException(404, f"no item of version {served.version} has the id {_shown(item_ids[0])}")
    return np.array(rows), [item_id for item_id in item_ids if item_id not in row_of]


def _hidden(served: Served, asked: Any, history: IntArray | None = None) -> IntArray:
    """The rows that may not come up: by the service's lists, by the request's own, or as they are in the history."""
    parts = [served.hidden, served.recommender.hidden(asked.allow, asked.deny)]
    if history is not None and asked.exclude_seen:
        parts.append(history)
    return np.unique(np.concatenate(parts)) if len(served.hidden) else np.concatenate(parts)


def _answer(told: Any) -> Response:
    return Response(json.dumps(told, ensure_ascii=False, separators=(",", ":")), media_type="application/json")


def _shown(item_id: str) -> str:
    return repr(item_id if len(item_id) <= 40 else f"{item_id[:40]}…")


async def _invalid(_: Request, error: Exception) -> Response:
    """What was expected, and where. Never what was found: it need not be text that can be written."""
    assert isinstance(error, RequestValidationError)
    fault = error.errors()[0]
    if fault["type"] == "json_invalid":
        return problem(HTTPStatus.BAD_REQUEST, "the body is no valid JSON")
    place = ".".join(str(part) for part in fault["loc"][1:]) or "the body"
    place = place.encode("utf-8", "replace").decode()[:100]
    more = f" (and {len(error.errors()) - 1} more)" if len(error.errors()) > 1 else ""
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{place}: {fault['msg']}{more}")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(HTTPStatus(error.status_code), str(error.detail), dict(error.headers or {}))


def _examples(item_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A request for each path."""
    return {
        "/recommend": {"history": item_ids, "k": 5},
        "/explain": {"history": item_ids, "k": 1},
        "/similar": {"item_id": item_ids[0], "k": 5},
    }
