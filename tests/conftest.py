"""A small log on which every stage has run: what is expensive to make, and shared by the tests of what people use."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2gr.params import Params
from s2gr.pipeline import run_all
from s2gr.workspace import Workspace

USERS, ITEMS, EVENTS = 40, 60, 12
# Microseconds: 2 January 2020.
BEGIN = 18_263 * 24 * 3_600_000_000
WORDS = ["soap", "wig", "brush", "lipstick", "cream", "polish", "oil", "mask"]
SETTINGS: dict[str, dict[str, Any]] = {
    "runtime": {"threads": 1, "memory_gb": 1.0, "device": "cpu"},
    "source": {"kind": "files"},
    "events": {"k_core": 1},
    "content": {"dim": 6},
    "codebook": {"levels": 3, "codes": 8},
    "reasoner": {
        "dim": 16,
        "heads": 2,
        "feed_forward": 32,
        "history": 8,
        "epochs": 1,
        "clusters": 4,
        "validation_users": 30,
    },
    "evaluation": {"bootstrap": 100, "control_users": 20},
}


def land(folder: Path) -> None:
    """A log in which users walk up and down a row of things; neighbours are described alike."""
    generator = np.random.default_rng(0)
    steps = generator.integers(-2, 4, (USERS, EVENTS)).cumsum(1) + generator.integers(0, ITEMS, (USERS, 1))
    ids = [f"i{item:02}" for item in range(ITEMS)]
    words = [f"{WORDS[item * len(WORDS) // ITEMS]} {generator.choice(WORDS)}" for item in range(ITEMS)]
    pq.write_table(
        pa.table(
            {
                "user_id": np.repeat([f"u{user:02}" for user in range(USERS)], EVENTS),
                "item_id": [ids[item] for item in (steps % ITEMS).ravel()],
                "timestamp": pa.array(BEGIN + np.arange(USERS * EVENTS) * 3_600_000_000, pa.timestamp("us", tz="UTC")),
            }
        ),
        folder / "interactions.parquet",
    )
    titles = [f"Thing {item}, {text}" for item, text in zip(ids, words, strict=True)]
    pq.write_table(pa.table({"item_id": ids, "title": titles, "text": words}), folder / "items.parquet")


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Params]:
    """All stages have run there; not to be changed."""
    landing = tmp_path_factory.mktemp("landing")
    land(landing)
    source = {**SETTINGS["source"], "path": str(landing)}
    params = Params.model_validate({**SETTINGS, "source": source})
    workspace = Workspace(tmp_path_factory.mktemp("finished") / "work")
    run_all(params, workspace)
    return workspace, params


@pytest.fixture
def finished(finished_once: tuple[Workspace, Params], tmp_path: Path) -> Workspace:
    """A copy of a work folder in which all stages have run."""
    shutil.copytree(finished_once[0].root, tmp_path / "finished")
    return Workspace(tmp_path / "finished")


@pytest.fixture
def made_with(finished_once: tuple[Workspace, Params]) -> Callable[..., Params]:
    """The parameters of ``finished``; other ones of ``publish`` or ``evaluation`` make another bundle of it."""

    def params(**changes: dict[str, Any]) -> Params:
        return Params.model_validate(
            {name: section | changes.get(name, {}) for name, section in finished_once[1].model_dump().items()}
        )

    return params
