"""Logs of the test's own, run through the stage."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2gr.console import log
from s2gr.params import Params
from s2gr.stage import execute
from s2gr.workspace import Workspace

from .folder import Folder

Event = tuple[str | None, str | None, Any]
RunEvents = Callable[..., tuple[Workspace, dict[str, Any]]]


@pytest.fixture
def run_events(tmp_path: Path) -> RunEvents:
    """Runs the stage on rows ``(user, item, timestamp)``; returns the workspace and the metrics."""
    runs = 0

    def run(
        events: list[Event], items: list[tuple[str | None, str | None, str | None]] | None = None, **settings: Any
    ) -> tuple[Workspace, dict[str, Any]]:
        nonlocal runs
        runs += 1
        folder = tmp_path / f"landing-{runs}"
        folder.mkdir()
        users, things, timestamps = zip(*events, strict=True) if events else ([], [], [])
        kind = pa.string() if any(isinstance(value, str) for value in timestamps) else pa.int64()
        columns = {
            "user_id": pa.array(users, pa.string()),
            "item_id": pa.array(things, pa.string()),
            "timestamp": pa.array([None if value is None else value for value in timestamps]).cast(kind),
        }
        pq.write_table(pa.table(columns), folder / "log.parquet")
        if items is not None:
            keys = ("item_id", "title", "text")
            table = {
                key: pa.array(column, pa.string()) for key, column in zip(keys, zip(*items, strict=True), strict=True)
            }
            pq.write_table(pa.table(table), folder / "items.parquet")
        seed, threads = settings.pop("seed", 0), settings.pop("threads", 2)
        params = Params.model_validate(
            {
                "runtime": {"seed": seed, "threads": threads},
                "source": {"kind": "files", "path": folder},
                "events": {"k_core": 1} | settings,
            }
        )
        workspace = Workspace(tmp_path / "work")
        return workspace, dict(execute("events", params, workspace))

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[], Folder]:
    count = iter(range(10**9))
    return lambda: Folder(tmp_path / f"folder-{next(count)}")


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(log, "warning", lambda text, *values: told.append(text % values))
    return told
