from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from s2gr.workspace import Workspace, write_table

Log = Mapping[str, Sequence[str]]


def write_log(root: Path, log: Log) -> Workspace:
    """Write events and items of ``{user: items in order}``, split leave-one-out."""
    workspace = Workspace(root)
    rows: list[tuple[str, str, int, str]] = []
    for user in sorted(log):
        items = log[user]
        for position, item in enumerate(items):
            left = len(items) - position
            split = "train" if len(items) < 3 or left > 2 else ("test", "validation")[left - 1]
            rows.append((user, item, position, split))
    users, items_, positions, splits = zip(*rows, strict=True)
    write_table(
        pa.table(
            {
                "user_id": pa.array(users),
                "item_id": pa.array(items_),
                "timestamp": pa.array([p * 1_000_000 for p in positions], pa.timestamp("us", "UTC")),
                "position": pa.array(positions, pa.int32()),
                "split": pa.array(splits),
            }
        ),
        workspace.events,
    )
    catalogue = sorted(set(items_))
    titles = [f"Title of {item}" for item in catalogue]
    write_table(pa.table({"item_id": catalogue, "title": titles, "text": titles}), workspace.items)
    return workspace


@pytest.fixture
def make_log(tmp_path: Path) -> Callable[[Log], Workspace]:
    return lambda log: write_log(tmp_path, log)
