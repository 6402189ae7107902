"""What a running service takes over, and what it does not."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from s2gr.errors import UserError
from s2gr.params import Params, Runtime, Serve
from s2gr.publish.versions import current_version, switch
from s2gr.serve import api
from s2gr.serve.served import Lists, Shelf, similar
from s2gr.workspace import Workspace


def hidden(shelf: Shelf) -> set[str]:
    recommender = shelf.current.recommender
    return {recommender.item_ids[row] for row in shelf.current.hidden.tolist()}


def test_a_list_is_taken_over_though_what_is_published_can_not_be_read(served: Workspace, tmp_path: Path) -> None:
    deny = tmp_path / "deny.txt"
    deny.write_text("i05\n")
    shelf = Shelf(served.published, Params(runtime=Runtime(threads=1)), Lists(deny=deny))
    first, damaged = current_version(served.published), "20990101T000000Z-00000000"
    (served.published / damaged).mkdir()
    switch(served.published, damaged)
    deny.write_text("i05\ni06\n")
    assert shelf.refresh()
    assert hidden(shelf) == {"i05", "i06"}
    for _ in range(2):
        with pytest.raises(UserError, match=damaged):
            shelf.refresh()
    assert shelf.current.version == first
    assert first
    switch(served.published, first)
    assert not shelf.refresh()


def test_a_list_that_fits_the_new_version_alone_comes_with_it(served: Workspace, tmp_path: Path) -> None:
    allow = tmp_path / "allow.txt"
    allow.write_text("i05\n")
    shelf = Shelf(served.published, Params(runtime=Runtime(threads=1)), Lists(allow=allow))
    allow.write_text("i06\ni07\n")
    # As if all that it names had come with a version that was published since.
    shelf.current.recommender.row_of.clear()
    with pytest.raises(UserError, match="nothing of the published model"):
        shelf.refresh()
    shelf._version = "an older one"
    assert shelf.refresh()
    assert len(hidden(shelf)) == 58
    assert not shelf.refresh()


def test_nobody_waits_for_who_looks_for_similar_items(served: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(served.published, Params(runtime=Runtime(threads=1)), Lists())
    others, begun = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> list[tuple[int, float]]:
        begun.set()
        assert others.wait(20), "somebody else was not answered meanwhile"
        return similar(*arguments)

    monkeypatch.setattr(api, "similar", slow)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(api.application(shelf, Serve(timeout=60)))
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
            looking = asyncio.create_task(http.post("/similar", json={"item_id": "i30", "k": 4}))
            await asyncio.to_thread(begun.wait, 20)
            assert (await http.get("/health")).status_code == 200
            others.set()
            return await looking

    assert len(asyncio.run(ask()).json()["items"]) == 4


def test_of_equally_similar_items_the_first_ones_come_first(served: Workspace) -> None:
    bundle = Shelf(served.published, Params(runtime=Runtime(threads=1)), Lists()).current
    bundle.directions[20:50] = bundle.directions[20].clone()
    cosine = (bundle.directions @ bundle.directions[30]).numpy()
    order = [row for row in np.argsort(-cosine, kind="stable").tolist() if row not in (30, 22)]
    for k in (3, 28, 58, 100):
        found = similar(bundle, 30, k, np.array([22]))
        assert [row for row, _ in found] == order[:k]
        assert [value for _, value in found] == cosine[order[:k]].tolist()
