"""What happens after the log of ``finished`` (conftest.py) has ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from s2gr.evaluation.protocol import basis
from s2gr.workspace import Workspace, read_json, write_json, write_table
from tests.conftest import BEGIN

HOUR = 3_600_000_000
ITEMS, USERS = 60, 40


def later(items: Callable[[int, int], str], events: int = 10) -> pa.Table:
    """``events`` of each user after the end of the log, an hour apart: user, step → item."""
    rows = [(user, step) for user in range(USERS) for step in range(events)]
    times = [BEGIN + (480 + user * events + step) * HOUR for user, step in rows]
    return pa.table(
        {
            "user_id": [f"u{user:02}" for user, _ in rows],
            "item_id": [items(user, step) for user, step in rows],
            "timestamp": pa.array(times, pa.timestamp("us", tz="UTC")),
        }
    )


def sentinel() -> pa.Table:
    """An event whose time says that nobody knew it."""
    never = pa.array([datetime(9999, 12, 31, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    return pa.table({"user_id": ["u00"], "item_id": ["i00"], "timestamp": never})


def walk(seed: int = 1) -> Callable[[int, int], str]:
    """As the log itself: users go up and down a row of things."""
    generator = np.random.default_rng(seed)
    places = generator.integers(-2, 4, (USERS, 50)).cumsum(1) + generator.integers(0, ITEMS, (USERS, 1))
    return lambda user, step: f"i{places[user, step] % ITEMS:02}"


def evaluated(workspace: Workspace) -> None:
    """Let the evaluation be about what lies in the workspace now."""
    report = read_json(workspace.report("evaluation"))
    write_json({**report, "basis": basis(workspace)}, workspace.report("evaluation"))


def land(workspace: Workspace, more: pa.Table) -> None:
    """Append to the workspace's log, as the stage `events` would."""
    log = pq.read_table(workspace.events)
    # Sorted by position: each user's last one stays.
    positions = dict(zip(log["user_id"].to_pylist(), log["position"].to_pylist(), strict=True))
    added = []
    for user in more["user_id"].to_pylist():
        positions[user] += 1
        added.append(positions[user])
    more = more.append_column("position", pa.array(added, pa.int32()))
    more = more.append_column("split", pa.array(["test"] * len(more))).cast(log.schema)
    write_table(
        pa.concat_tables([log, more]).sort_by([("user_id", "ascending"), ("position", "ascending")]), workspace.events
    )
