"""Cases after a model was made, against what a loop over the events finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.publish.since import known_cases, last_events

# A user's events: item, and whether it came since.
LOGS = st.lists(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=8), min_size=1, max_size=5)
KNOWN = ["i0", "i2", "i3"]


def flat(logs: list[list[tuple[int, bool]]]) -> tuple[Any, pa.Array, Any]:
    users = np.repeat(np.arange(len(logs)), [len(log) for log in logs])
    items = pa.array([f"i{item}" for log in logs for item, _ in log])
    return users, items, np.array([since for log in logs for _, since in log])


@given(LOGS, st.integers(1, 4))
@settings(max_examples=100)
def test_cases_are_what_a_loop_finds(logs: list[list[tuple[int, bool]]], history: int) -> None:
    cases, asked = known_cases(last_events(*flat(logs)), KNOWN, history)
    expected = []
    for user, log in enumerate(logs):
        (target, since), before = log[-1], [KNOWN.index(f"i{item}") for item, _ in log[:-1] if f"i{item}" in KNOWN]
        if since and len(log) > 1:
            name = f"i{target}"
            expected.append((user, before, KNOWN.index(name) if name in KNOWN else -1))
    assert asked.tolist() == [bool(before) for _, before, _ in expected]
    expected = [entry for entry in expected if entry[1]]
    assert len(cases) == len(expected)
    for row, (user, before, target) in enumerate(expected):
        length = cases.lengths[row]
        assert cases.users[row] == user
        assert cases.histories[row, :length].tolist() == before[-history:]
        assert np.all(cases.histories[row, length:] == -1)
        assert cases.targets[row] == target
        assert cases.seen()[row].tolist() == before


def test_a_sample_keeps_the_order_and_the_users_apart() -> None:
    events = last_events(*flat([[(0, True), (item, True)] for item in range(6)]))
    chosen = events.sample(3, seed=0)
    assert len(chosen.targets) == 3
    assert np.all(np.diff(chosen.targets) > 0)
    assert events.sample(6, seed=0) is events
