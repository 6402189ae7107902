"""The log: k-core, total order, leave-one-out split, catalogue, and the same bytes every time."""

import random
from collections import Counter
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2gr.errors import UserError
from s2gr.workspace import read_table

T = 1_400_000_000
Pair = tuple[int, int]


def log_of(workspace) -> list[tuple[str, str, int, int, str]]:
    rows = read_table(workspace.events).to_pylist()
    return [
        (r["user_id"], r["item_id"], round(r["timestamp"].timestamp()) - T, r["position"], r["split"]) for r in rows
    ]


def test_the_columns_are_those_of_the_contract(run_events) -> None:
    workspace, _ = run_events([("u", "a", T)])
    assert {field.name: field.type for field in read_table(workspace.events).schema} == {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "timestamp": pa.timestamp("us", "UTC"),
        "position": pa.int32(),
        "split": pa.string(),
    }
    assert read_table(workspace.events)["timestamp"][0].as_py() == datetime(2014, 5, 13, 16, 53, 20, tzinfo=UTC)


def test_the_last_event_is_the_test_target_and_the_one_before_the_validation_target(run_events) -> None:
    events = [("v", "a", T + 9), ("u", "d", T + 4), ("u", "a", T), ("u", "b", T + 1), ("u", "c", T + 2), ("v", "b", T)]
    workspace, metrics = run_events(events)
    assert log_of(workspace) == [
        ("u", "a", 0, 0, "train"),
        ("u", "b", 1, 1, "train"),
        ("u", "c", 2, 2, "validation"),
        ("u", "d", 4, 3, "test"),
        # Two events are too few to predict from.
        ("v", "b", 0, 0, "train"),
        ("v", "a", 9, 1, "train"),
    ]
    assert (metrics["train"], metrics["validation"], metrics["test"]) == (4, 1, 1)
    assert (metrics["users"], metrics["items"], metrics["mean_length"], metrics["median_length"]) == (2, 4, 3.0, 3.0)
    assert (metrics["first_timestamp"], metrics["last_timestamp"]) == ("2014-05-13T16:53:20Z", "2014-05-13T16:53:29Z")


def test_a_temporal_split_cuts_all_users_at_the_same_two_moments(run_events) -> None:
    generator = random.Random(1)
    events = [(f"u{generator.randrange(9)}", f"i{number}", T + generator.randrange(40)) for number in range(200)]
    workspace, metrics = run_events(events, split="temporal", held_out=0.2)
    log = log_of(workspace)
    times = {split: [row[2] for row in log if row[4] == split] for split in ("train", "validation", "test")}
    assert max(times["train"]) < min(times["validation"]) <= max(times["validation"]) < min(times["test"])
    # A timestamp is never parted, so the shares are 60/20/20 up to the events of one timestamp.
    assert [len(times[split]) / 200 for split in times] == pytest.approx([0.6, 0.2, 0.2], abs=0.06)
    assert metrics["test"] == len(times["test"])
    positions = [row[3] for row in log if row[0] == "u0"]
    assert positions == list(range(len(positions)))


def test_the_log_says_how_it_was_ordered_and_split(run_events) -> None:
    events = [("u", f"i{number}", T + number) for number in range(20)]
    made = {}
    for setting in ({}, {"split": "temporal", "ties": "shuffled", "k_core": 1}):
        workspace, _ = run_events(events, **setting)
        metadata = pq.read_schema(workspace.events).metadata
        made[str(setting)] = [metadata[key].decode() for key in (b"split", b"ties", b"k_core")]
    assert list(made.values()) == [["leave-one-out", "log", "1"], ["temporal", "shuffled", "1"]]


def test_within_a_timestamp_the_row_order_of_the_log_decides(run_events) -> None:
    items = [f"i{number}" for number in random.Random(0).sample(range(50), 50)]
    workspace, metrics = run_events([("u", item, T) for item in items])
    assert [row[1] for row in log_of(workspace)] == items
    assert metrics["tied_share"] == 49 / 50


def test_shuffled_ties_move_only_within_a_timestamp_and_with_the_seed(run_events) -> None:
    events = [("u", f"i{number}", T + number // 10) for number in range(40)]
    by_log, shuffled, again, other = (
        [row[1] for row in log_of(run_events(events, **setting)[0])]
        for setting in ({}, {"ties": "shuffled"}, {"ties": "shuffled"}, {"ties": "shuffled", "seed": 1})
    )
    assert shuffled == again
    assert len({tuple(by_log), tuple(shuffled), tuple(other)}) == 3
    for start in range(0, 40, 10):
        assert set(shuffled[start : start + 10]) == set(by_log[start : start + 10])


def k_core_reference(events: list[Pair], k: int) -> list[Pair]:
    while True:
        users, items = Counter(user for user, _ in events), Counter(item for _, item in events)
        kept = [(user, item) for user, item in events if users[user] >= k and items[item] >= k]
        if kept == events:
            return kept
        events = kept


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40, unique=True), st.integers(1, 4)
)
def test_the_k_core_is_that_of_a_plain_loop(run_events, pairs: list[Pair], k: int) -> None:
    events = [(str(user), str(item), T + number) for number, (user, item) in enumerate(pairs)]
    expected = k_core_reference(pairs, k)
    if not expected:
        with pytest.raises(
            UserError, match=f"nothing is left of {len(pairs)} events after the {k}-core.*events.k_core"
        ):
            run_events(events, k_core=k)
        return
    workspace, metrics = run_events(events, k_core=k)
    assert sorted((int(user), int(item)) for user, item, *_ in log_of(workspace)) == sorted(expected)
    assert metrics["dropped_by_k_core"] == len(pairs) - len(expected)
    assert read_table(workspace.items)["item_id"].to_pylist() == sorted({str(item) for _, item in expected})


def test_the_catalogue_has_a_title_and_a_text_for_every_item_of_the_log(run_events) -> None:
    items = [("b", None, "brown"), ("a", " ", None), ("unused", "U", "u")]
    workspace, _ = run_events([("u", "a", T), ("u", "b", T)], items)
    assert read_table(workspace.items).to_pylist() == [
        {"item_id": "a", "title": "a", "text": ""},
        {"item_id": "b", "title": "b", "text": "brown"},
    ]


def test_without_an_items_file_items_are_known_by_their_ids(run_events) -> None:
    workspace, _ = run_events([("u", "b", T), ("u", "a", T)])
    assert read_table(workspace.items).to_pylist() == [
        {"item_id": "a", "title": "a", "text": ""},
        {"item_id": "b", "title": "b", "text": ""},
    ]


@pytest.mark.parametrize("ties", ["log", "shuffled"])
def test_the_bytes_do_not_depend_on_the_run_or_the_threads(run_events, ties: str) -> None:
    generator = random.Random(0)
    events = [
        (f"u{generator.randrange(500)}", f"i{generator.randrange(90)}", T + generator.randrange(99))
        for _ in range(9_000)
    ]
    found = []
    for threads in (1, 4, 4):
        workspace, _ = run_events(events, threads=threads, ties=ties, max_rejected=1.0)
        found.append([path.read_bytes() for path in (workspace.events, workspace.items, workspace.quarantine)])
    assert found[0] == found[1] == found[2]
