"""The stage: pair counts against brute force, no leak from validation and test, and what is written."""

from collections import Counter
from datetime import UTC, datetime
from itertools import accumulate, combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2gr.cooccurrence import stage
from s2gr.embeddings import embedding_matrix, embedding_table
from s2gr.errors import UserError
from s2gr.params import Params
from s2gr.stage import execute
from s2gr.workspace import Workspace, read_table, write_table

ITEMS = list("abcdef")


def prepare(folder: Path, histories: list[list[str]], held_out: list[tuple[str, str]] | None = None) -> Workspace:
    """Training histories, each followed by a validation and a test event if ``held_out`` gives them."""
    workspace = Workspace(folder)
    columns: dict[str, list[Any]] = {"user_id": [], "item_id": [], "timestamp": [], "position": [], "split": []}
    for user, history in enumerate(histories):
        split = ["train"] * len(history)
        if held_out is not None:
            history, split = [*history, *held_out[user]], [*split, "validation", "test"]
        for position, (item, part) in enumerate(zip(history, split, strict=True)):
            row = (f"u{user:03}", item, datetime.fromtimestamp(position, UTC), position, part)
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
    types = [pa.string(), pa.string(), pa.timestamp("us", "UTC"), pa.int32(), pa.string()]
    write_table(
        pa.table([pa.array(c, t) for c, t in zip(columns.values(), types, strict=True)], list(columns)),
        workspace.events,
    )
    write_table(pa.table({"item_id": ITEMS, "title": ITEMS, "text": ITEMS}), workspace.items)
    content = np.random.default_rng(0).normal(size=(len(ITEMS), 4)).astype(np.float32)
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    write_table(embedding_table(ITEMS, content), workspace.content)
    return workspace


def run(workspace: Workspace, **section: Any) -> dict[str, Any]:
    return dict(execute("cooccurrence", Params.model_validate({"cooccurrence": section}), workspace))


def brute_force(histories: list[list[str]], window: int) -> Counter[tuple[str, str]]:
    pairs: Counter[tuple[str, str]] = Counter()
    for history in histories:
        for first in range(len(history)):
            for second in range(first + 1, min(first + window, len(history) - 1) + 1):
                if history[first] != history[second]:
                    a, b = sorted((history[first], history[second]))
                    pairs[a, b] += 1
    return pairs


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from(ITEMS), min_size=1, max_size=9), min_size=1, max_size=5), st.integers(1, 5))
def test_pairs_are_counted_as_by_brute_force(tmp_path: Path, histories: list[list[str]], window: int) -> None:
    workspace = prepare(tmp_path, histories)
    metrics = run(workspace, window=window)
    rows = read_table(workspace.cooccurrence).to_pylist()
    expected = brute_force(histories, window)
    assert {(row["item_a"], row["item_b"]): row["count"] for row in rows} == expected
    assert [(row["item_a"], row["item_b"]) for row in rows] == sorted(expected)
    assert metrics["pair_occurrences"] == expected.total()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.tuples(st.sampled_from(ITEMS), st.integers(0, 5)), min_size=1, max_size=9), max_size=4),
    st.integers(1, 4),
    st.integers(0, 9),
)
def test_pairs_further_apart_in_time_than_the_window_do_not_count(
    tmp_path: Path, steps: list[list[tuple[str, int]]], window: int, hours: int
) -> None:
    # Each event comes 0 to 5 hours after the one before it; the last user makes sure that there is one.
    histories = [[item for item, _ in history] for history in steps] + [["a", "b"]]
    times = [list(accumulate(gap for _, gap in history)) for history in steps] + [[0, 1]]
    workspace = prepare(tmp_path, histories)
    set_times(workspace, times)
    run(workspace, window=window, window_hours=hours)
    expected: Counter[tuple[str, str]] = Counter()
    for history, instants in zip(histories, times, strict=True):
        for first, second in combinations(range(len(history)), 2):
            near = second - first <= window and instants[second] - instants[first] <= hours
            if near and history[first] != history[second]:
                expected[tuple(sorted((history[first], history[second])))] += 1
    rows = read_table(workspace.cooccurrence).to_pylist()
    assert {(row["item_a"], row["item_b"]): row["count"] for row in rows} == expected


def set_times(workspace: Workspace, hours: list[list[int]]) -> None:
    instants = pa.array([datetime.fromtimestamp(hour * 3600, UTC) for user in hours for hour in user])
    events = read_table(workspace.events)
    column = events.column_names.index("timestamp")
    write_table(events.set_column(column, "timestamp", instants.cast(pa.timestamp("us", "UTC"))), workspace.events)


def test_a_window_in_time_needs_timestamps(tmp_path: Path) -> None:
    workspace = prepare(tmp_path, [["a", "b"]])
    write_table(read_table(workspace.events).drop_columns(["timestamp"]), workspace.events)
    with pytest.raises(UserError, match=r"events\.parquet: expected column timestamp"):
        run(workspace, window_hours=1.0)


def test_pairs_are_counted_within_one_user_only(tmp_path: Path) -> None:
    run(workspace := prepare(tmp_path, [["a", "b"], ["c", "d"]]), window=5)
    rows = read_table(workspace.cooccurrence).to_pylist()
    assert [(row["item_a"], row["item_b"], row["count"]) for row in rows] == [("a", "b", 1), ("c", "d", 1)]


def test_a_window_wider_than_every_history_asks_for_no_more_than_they_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, lead = [], stage._lead
    monkeypatch.setattr(stage, "_lead", lambda distance, hours: asked.append(distance) or lead(distance, hours))
    histories = [["a", "b", "c", "d"], ["b", "a"]]
    run(workspace := prepare(tmp_path, histories, [("e", "f"), ("a", "a")]), window=200)
    assert asked == [1, 2, 3]
    rows = read_table(workspace.cooccurrence).to_pylist()
    assert {(row["item_a"], row["item_b"]): row["count"] for row in rows} == brute_force(histories, 200)


def test_held_out_events_change_neither_output(tmp_path: Path) -> None:
    histories = [["a", "b", "c"], ["b", "c", "d", "a"], ["a"]]
    found = []
    for name, held_out in (
        ("one", [("e", "f"), ("a", "a"), ("b", "c")]),
        ("other", [("a", "b"), ("f", "d"), ("e", "e")]),
    ):
        run(workspace := prepare(tmp_path / name, histories, held_out))
        found.append((workspace.cooccurrence.read_bytes(), workspace.aligned.read_bytes()))
    run(workspace := prepare(tmp_path / "none", histories))
    assert found[0] == found[1] == (workspace.cooccurrence.read_bytes(), workspace.aligned.read_bytes())


def test_aligned_rows_have_unit_length_and_move_towards_neighbours(tmp_path: Path) -> None:
    workspace = prepare(tmp_path, [["a", "b"]] * 3)
    metrics = run(workspace)
    content, aligned = (embedding_matrix(read_table(path)) for path in (workspace.content, workspace.aligned))
    assert np.linalg.norm(aligned, axis=1) == pytest.approx(np.ones(6), abs=1e-6)
    assert aligned[0] @ aligned[1] > content[0] @ content[1]
    # c to f have no edge.
    np.testing.assert_array_equal(aligned[2:], content[2:])
    assert metrics["items_without_edge"] == 4


@pytest.mark.parametrize("off", [{"teleport": 1.0}, {"steps": 0}])
def test_switched_off_the_aligned_embeddings_are_the_content(off: dict[str, float], tmp_path: Path) -> None:
    workspace = prepare(tmp_path, [["a", "b", "c"]])
    run(workspace, **off)
    assert read_table(workspace.aligned).equals(read_table(workspace.content))


def test_a_log_without_pairs_gives_an_empty_table(tmp_path: Path) -> None:
    metrics = run(workspace := prepare(tmp_path, [["a"], ["b", "b"]]))
    assert metrics["pairs"] == 0
    assert read_table(workspace.cooccurrence).schema.names == ["item_a", "item_b", "count"]
    assert read_table(workspace.aligned).equals(read_table(workspace.content))


def test_content_of_other_items_is_refused(tmp_path: Path) -> None:
    workspace = prepare(tmp_path, [["a", "b"]])
    write_table(embedding_table(["z", *ITEMS[1:]], np.eye(6, dtype=np.float32)), workspace.content)
    with pytest.raises(UserError, match="hold different items; run the stage `content` again"):
        run(workspace)


def test_a_missing_log_is_told(tmp_path: Path) -> None:
    workspace = prepare(tmp_path, [["a", "b"]])
    workspace.events.unlink()
    with pytest.raises(UserError, match=r"events\.parquet is missing: run the stage that makes it first"):
        run(workspace)


def test_a_damaged_log_is_told(tmp_path: Path) -> None:
    workspace = prepare(tmp_path, [["a", "b"]])
    whole = read_table(workspace.events)
    write_table(whole.drop_columns(["split"]), workspace.events)
    with pytest.raises(UserError, match=r"events\.parquet: expected column split, found user_id, item_id"):
        run(workspace)
    workspace.events.write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"events\.parquet is not a readable Parquet file"):
        run(workspace)


def test_no_spill_folder_is_left_behind(tmp_path: Path) -> None:
    run(workspace := prepare(tmp_path, [["a", "b"]]))
    assert not list(workspace.state.glob("duckdb-*"))


def test_a_folder_with_signs_of_a_pattern_is_read_itself(tmp_path: Path) -> None:
    prepare(tmp_path / "w1", [["a", "b"]])
    run(workspace := prepare(tmp_path / "w[1]", [["c", "d"]]))
    assert read_table(workspace.cooccurrence)["item_a"].to_pylist() == ["c"]
