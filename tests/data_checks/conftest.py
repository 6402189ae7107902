"""Synthetic artefacts that conform to the contract, as plain columns that a test can spoil before they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from s2gr.console import log
from s2gr.workspace import Workspace, write_json, write_table

START = datetime(2020, 1, 1, tzinfo=UTC)
CODES, LEVELS, DIM = 8, 3, 6
# cooccurrence.window of the default parameters.
WINDOW = 3

Columns = dict[str, list[Any]]

TYPES = {
    "user_id": pa.string(),
    "item_id": pa.string(),
    "timestamp": pa.timestamp("us", "UTC"),
    "position": pa.int32(),
    "split": pa.string(),
    "title": pa.string(),
    "text": pa.string(),
    "file": pa.string(),
    "row": pa.int64(),
    "reason": pa.string(),
    "record": pa.string(),
    "code_1": pa.int32(),
    "code_2": pa.int32(),
    "code_3": pa.int32(),
    "embedding": pa.list_(pa.float32(), DIM),
    "item_a": pa.string(),
    "item_b": pa.string(),
    "count": pa.int64(),
    "failed_checks": pa.list_(pa.string()),
    "rank": pa.int32(),
    "score": pa.float32(),
}


@dataclass
class Artefacts:
    """Columns of each file; ``types`` may be changed for one file, ``config`` is the codebook's."""

    events: Columns
    items: Columns
    quarantine: Columns
    sids: Columns
    content: Columns
    aligned: Columns
    cooccurrence: Columns
    recommendations: Columns
    config: dict[str, int]
    # A row for each landed file: file, batch, role, status, reason, rows, rejected.
    batches: list[tuple[str, str, str | None, str, str | None, int | None, int | None]]
    disagreeing: int
    types: dict[str, dict[str, pa.DataType]]

    def write(self, root: Path) -> Path:
        workspace = Workspace(root)
        tables = ("events", "items", "quarantine", "sids", "content", "aligned", "cooccurrence", "recommendations")
        for name in tables:
            columns: Columns = getattr(self, name)
            kinds = {**TYPES, **self.types.get(name, {})}
            arrays = {column: pa.array(values, kinds.get(column)) for column, values in columns.items()}
            write_table(pa.table(arrays), getattr(workspace, name))
        names = ("file", "batch", "role", "status", "reason", "rows", "rejected")
        columns = dict(zip(names, map(list, zip(*self.batches, strict=True)), strict=True))
        columns["failed_checks"] = [["batch_readable"] if rows is None else [] for rows in columns["rows"]]
        write_table(
            pa.table({name: pa.array(column, TYPES.get(name)) for name, column in columns.items()}), workspace.batches
        )
        write_json({"items_disagreeing": self.disagreeing}, workspace.report("events"))
        write_json(self.config, workspace.codebook / "config.json")
        return root


def make_artefacts(users: int = 40, length: int = 12, items: int = 64, seed: int = 0) -> Artefacts:
    """``users`` histories of ``length`` events each, interleaved in time, over a uniformly popular catalogue."""
    generator = np.random.default_rng(seed)
    item_ids = [f"i{item:03d}" for item in range(items)]
    # Every item equally often, in random order: the k-core holds for all.
    drawn = np.tile(np.arange(items), -(-users * length // items))[: users * length]
    drawn = generator.permutation(drawn)
    splits = ["train"] * (length - 2) + ["validation", "test"]
    events: Columns = {name: [] for name in ("user_id", "item_id", "timestamp", "position", "split")}
    for user in range(users):
        for position in range(length):
            events["user_id"].append(f"u{user:04d}")
            events["item_id"].append(item_ids[drawn[user * length + position]])
            events["timestamp"].append(START + timedelta(hours=position, seconds=user))
            events["position"].append(position)
            events["split"].append(splits[position])
    codes = [(item % CODES, item // CODES % CODES, (item // CODES**2 + item) % CODES) for item in range(items)]
    return Artefacts(
        events=events,
        items={name: list(item_ids) for name in ("item_id", "title", "text")},
        quarantine={"file": [], "row": [], "reason": [], "record": []},
        sids={
            "item_id": list(item_ids),
            **{f"code_{level + 1}": [code[level] for code in codes] for level in range(LEVELS)},
        },
        content={"item_id": list(item_ids), "embedding": _unit_vectors(items, generator)},
        aligned={"item_id": list(item_ids), "embedding": _unit_vectors(items, generator)},
        cooccurrence=_pairs(events),
        recommendations=_recommendations(events, item_ids),
        config={"codes": CODES, "levels": LEVELS},
        batches=[
            ("log.parquet", "00", "interactions", "admitted", None, users * length, 0),
            ("items.parquet", "01", "items", "admitted", None, items, 0),
        ],
        disagreeing=0,
        types={},
    )


def _unit_vectors(items: int, generator: np.random.Generator) -> list[list[float]]:
    rows = generator.standard_normal((items, DIM))
    vectors: list[list[float]] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).tolist()
    return vectors


def _pairs(events: Columns) -> Columns:
    """By a plain loop over the training histories."""
    histories: dict[str, list[str]] = {}
    for user, item, split in zip(events["user_id"], events["item_id"], events["split"], strict=True):
        if split == "train":
            histories.setdefault(user, []).append(item)
    counts = Counter(
        tuple(sorted((history[place], other)))
        for history in histories.values()
        for place in range(len(history))
        for other in history[place + 1 : place + 1 + WINDOW]
        if other != history[place]
    )
    first, second, count = zip(*((a, b, n) for (a, b), n in sorted(counts.items())), strict=True)
    return {"item_a": list(first), "item_b": list(second), "count": list(count)}


def _recommendations(events: Columns, item_ids: list[str]) -> Columns:
    """Ten items for each user, none of them met."""
    columns: Columns = {name: [] for name in ("user_id", "rank", "item_id", "score")}
    for number, user in enumerate(sorted(set(events["user_id"]))):
        met = {item for item, who in zip(events["item_id"], events["user_id"], strict=True) if who == user}
        turned = item_ids[number:] + item_ids[:number]
        for rank, item in enumerate([item for item in turned if item not in met][:10], 1):
            for name, value in zip(columns, (user, rank, item, 1 / rank), strict=True):
                columns[name].append(value)
    return columns


@pytest.fixture
def make() -> Callable[..., Artefacts]:
    return make_artefacts


@pytest.fixture
def artefacts() -> Artefacts:
    return make_artefacts()


@pytest.fixture(autouse=True)
def _own_log_handlers() -> Iterator[None]:
    """A command line under test sets up logging to a stream that ends with the test."""
    before = list(log.handlers), log.propagate, log.level
    yield
    log.handlers[:], log.propagate = before[0], before[1]
    log.setLevel(before[2])
