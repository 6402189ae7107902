"""The windows of the drift benchmark are what it says they are, and it runs from data to table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import drift, drift_streams
from data_checks import report

from ..conftest import SETTINGS, land

HOUR = 3_600_000_000


@pytest.fixture
def users() -> drift_streams.Population:
    """Fifty users with bursts of 2 to 20 events; the last two of 40 items are new."""
    generator = np.random.default_rng(0)
    counts = generator.integers(2, 21, 50)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    items = generator.integers(0, 40, offsets[-1])
    times = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    code = np.where(np.arange(40) < 38, np.arange(40) % 8, -1)
    names = np.array([f"i{item}" for item in range(40)], dtype=object)
    return drift_streams.Population(offsets, items, times * HOUR, 1000 * HOUR, names, code)


def test_a_stream_has_so_many_events_in_order_and_whole_bursts(users: drift_streams.Population) -> None:
    found = drift_streams.stream(users, 2000, np.random.default_rng(1))
    assert len(found.items) == 2000
    assert np.all(np.diff(found.times) >= 0)
    # About as dense in time as the log that it is drawn from: arrivals are drawn generously.
    assert np.ptp(found.times) == pytest.approx(users.span * 2000 / len(users.items), rel=0.35)
    inside = [user for user in np.unique(found.users) if found.times[found.users == user].min() > 100 * HOUR]
    bursts = {tuple(users.items[a:b]) for a, b in zip(users.offsets, users.offsets[1:], strict=False)}
    whole = [tuple(found.items[found.users == user]) in bursts for user in inside[: len(inside) // 2]]
    assert np.mean(whole) > 0.95


def test_a_third_of_the_events_move_to_the_other_half_of_the_codes(users: drift_streams.Population) -> None:
    now = drift_streams.stream(users, 6000, np.random.default_rng(1))
    moved = drift_streams.planted(now, users, drift_streams.MASS, np.random.default_rng(2))
    changed = now.items != moved.items
    assert changed.mean() == pytest.approx(1 / 3, abs=0.06)
    codes = users.first_code
    assert not set(codes[now.items[changed]]) & set(codes[moved.items[changed]])


def test_a_tenth_of_the_events_fall_on_a_new_item(users: drift_streams.Population) -> None:
    now = drift_streams.stream(users, 6000, np.random.default_rng(1))
    found = drift_streams.planted(now, users, drift_streams.UNKNOWN, np.random.default_rng(2))
    assert (users.first_code[found.items] < 0).mean() == pytest.approx(0.1 + 0.9 * 0.05, abs=0.02)


def test_from_data_to_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "write", lambda *arguments: {})
    (tmp_path / "data").mkdir()
    land(tmp_path / "data")
    settings = [f"{section}.{key}={value}" for section, values in SETTINGS.items() for key, value in values.items()]
    drift.main(tmp_path / "data", tmp_path / "work", "300", 1, settings, tmp_path / "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [(row["scenario"], row["events"], row["windows"]) for row in rows] == [
        (scenario, 300, 1) for scenario in drift_streams.SCENARIOS
    ]
    assert rows[0]["alarms"] == 0
