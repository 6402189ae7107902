from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from s2gr.cases import Cases, build_cases
from s2gr.errors import UserError
from s2gr.sequences import load_sequences
from s2gr.workspace import Workspace, read_table, write_table

MakeLog = Callable[[dict[str, list[str]]], Workspace]
LOG = {"u1": ["a", "b", "c", "d", "e"], "u2": ["c", "b"], "u3": ["e", "a", "b"]}


def cases_of(workspace: Workspace, split: str, history: int) -> Cases:
    return build_cases(load_sequences(workspace.events, workspace.items), split, history)


def test_test_target_is_the_last_event_and_history_all_before(make_log: MakeLog) -> None:
    cases = cases_of(make_log(LOG), "test", 4)
    # Items are a … e = 0 … 4; u2 has too few events for a target.
    assert cases.users.tolist() == [0, 2]
    assert cases.targets.tolist() == [4, 1]
    assert cases.histories.tolist() == [[0, 1, 2, 3], [4, 0, -1, -1]]
    assert cases.lengths.tolist() == [4, 2]
    assert cases.last_items.tolist() == [3, 0]


def test_validation_target_is_the_last_but_one_and_history_the_training_part(make_log: MakeLog) -> None:
    cases = cases_of(make_log(LOG), "validation", 4)
    assert cases.targets.tolist() == [3, 0]
    assert cases.histories.tolist() == [[0, 1, 2, -1], [4, -1, -1, -1]]


def test_history_keeps_the_most_recent_items_and_seen_keeps_all(make_log: MakeLog) -> None:
    cases = cases_of(make_log(LOG), "test", 2)
    assert cases.histories.tolist() == [[2, 3], [4, 0]]
    assert [items.tolist() for items in cases.seen()] == [[0, 1, 2, 3], [4, 0]]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_batch_size_does_not_change_the_cases(make_log: MakeLog, size: int) -> None:
    generator = np.random.default_rng(0)
    log = {f"u{user}": [f"i{item}" for item in generator.integers(0, 9, 3 + user)] for user in range(7)}
    cases = cases_of(make_log(log), "test", 5)
    batches = list(cases.batches(size))
    assert sum(len(batch) for batch in batches) == len(cases) == 7
    assert np.array_equal(np.concatenate([batch.histories for batch in batches]), cases.histories)
    assert np.array_equal(np.concatenate([batch.targets for batch in batches]), cases.targets)
    seen = [items.tolist() for batch in batches for items in batch.seen()]
    assert seen == [items.tolist() for items in cases.seen()]


def test_a_log_without_test_events_says_what_to_do(make_log: MakeLog) -> None:
    with pytest.raises(UserError, match=r"no user has 3 events or more \(lower events\.k_core"):
        cases_of(make_log({"u1": ["a", "b"]}), "test", 5)


def test_after_a_cut_in_time_the_first_event_of_each_user_with_a_training_history_is_the_target(
    make_log: MakeLog,
) -> None:
    workspace = make_log({"u1": ["a", "b", "c", "d", "e"], "u2": ["c", "b", "a"], "u3": ["e", "a"], "u4": ["b", "d"]})
    table = read_table(workspace.events)
    split = ["train", "train", "validation", "test", "test", "train", "test", "test", "test", "test", "train", "train"]
    write_table(table.set_column(table.column_names.index("split"), "split", pa.array(split)), workspace.events)
    cases = cases_of(workspace, "test", 9)
    assert cases.users.tolist() == [0, 1]
    assert cases.targets.tolist() == [3, 1]
    assert cases.events.tolist() == [3, 6]
    assert [items.tolist() for items in cases.seen()] == [[0, 1, 2], [2]]
