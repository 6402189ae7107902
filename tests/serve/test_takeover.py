"""What the service takes over while it answers: new versions and lists, and no damaged ones."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.load import closed, posted
from s2gr.params import Params
from s2gr.publish.publishing import publish
from s2gr.publish.versions import switch
from s2gr.reasoner.recommender import Recommender
from s2gr.workspace import Workspace, read_json, read_table, write_json, write_table

from ..later import evaluated
from .service import HISTORIES, serving, wait_for


def variant(finished: Workspace, number: int) -> None:
    """Another model in the work folder: other titles, other weights of the sources."""
    items = read_table(finished.items)
    titles = pc.binary_join_element_wise(items["item_id"].cast(pa.string()), f"v{number}", " ")
    column = items.schema.get_field_index("title")
    write_table(items.set_column(column, items.schema.field("title"), titles), finished.items)
    config = read_json(finished.reasoner / "config.json")
    share = number / 10
    weights = {"sid": 1 - share, "interest": share, "walk": 0.0, "walk_undirected": 0.0}
    config["fusion"] |= {"everything": weights, "unseen": weights}
    write_json(config, finished.reasoner / "config.json")
    evaluated(finished)


def test_no_request_is_lost_while_five_bundles_are_published(
    finished: Workspace, made_with: Callable[..., Params]
) -> None:
    params = made_with(publish={"keep": 10})
    publish(finished, params)
    asked = [{"history": history, "k": 5} for history in HISTORIES]
    answers: dict[tuple[str, int], list[Any]] = {}
    bad: list[bytes] = []
    done = False

    def answered(index: int, status: int, body: bytes) -> None:
        if status != 200:
            bad.append(body)
            return
        told = json.loads(body)
        items = [(item["item_id"], item["title"], item["score"]) for item in told["items"]]
        same = answers.setdefault((told["version"], index), items)
        if [item[:2] for item in same] != [item[:2] for item in items]:
            bad.append(body)

    with serving(finished, decoders=1) as service, ThreadPoolExecutor(1) as background:
        requests = [posted("/recommend", body) for body in asked]
        load = background.submit(
            asyncio.run, closed(service.address, requests, 16, lambda sent: sent < 10_000 or not done, answered)
        )
        versions = [service.version()]
        try:
            for number in range(1, 6):
                variant(finished, number)
                versions.append(publish(finished, params).current)
                wait_for(lambda: service.version() == versions[-1])
        finally:
            done = True
        outcome = load.result()
    assert not bad
    assert sum(outcome.statuses.values()) >= 10_000
    assert outcome.failed == 0
    assert len(set(versions)) == 6
    assert {version for version, _ in answers} >= set(versions[1:])
    for version in versions:
        recommender = Recommender.load(finished.published / version)
        for index, body in enumerate(asked):
            if (version, index) in answers:
                expected = recommender.recommend(body["history"], k=5)
                found = answers[version, index]
                assert [item[:2] for item in found] == [(item.item_id, item.title) for item in expected]
                assert [item[2] for item in found] == pytest.approx([item.score for item in expected], abs=2e-5)


def test_lists_are_taken_over_and_a_broken_one_or_a_damaged_bundle_is_not(
    finished: Workspace, made_with: Callable[..., Params], tmp_path: Path
) -> None:
    first = publish(finished, made_with()).current
    allow = tmp_path / "allow.txt"
    allow.write_text("i10\ni11\n", encoding="utf-8")
    overlay = tmp_path / "serve.yaml"
    overlay.write_text("serve: {look: 0.05}\n", encoding="utf-8")
    with serving(finished, "--allow", str(allow), "--params", str(overlay)) as service:
        assert set(service.recommended(["i03"])) == {"i10", "i11"}
        assert set(service.recommended(["i03"], allow=["i11", "i12"])) == {"i11"}
        allow.write_text("i12\n", encoding="utf-8")
        wait_for(lambda: service.recommended(["i03"]) == ["i12"])

        def failures() -> float:
            line = next(line for line in service.http.get("/metrics").text.splitlines() if 'outcome="failed"' in line)
            return float(line.split()[-1])

        allow.write_text("nobody's\n", encoding="utf-8")
        wait_for(lambda: failures() >= 1)
        assert service.recommended(["i03"]) == ["i12"]
        allow.write_text("i12\n", encoding="utf-8")
        broken = finished.published / "20990101T000000Z-00000000"
        shutil.copytree(finished.published / first, broken)
        (broken / "models/reasoner/model.safetensors").write_bytes(b"")
        before = failures()
        switch(finished.published, broken.name)
        wait_for(lambda: failures() > before)
        assert service.version() == first
        assert service.recommended(["i03"]) == ["i12"]
        switch(finished.published, first)
