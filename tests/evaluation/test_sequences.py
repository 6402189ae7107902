from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from s2gr.errors import UserError
from s2gr.sequences import TEST, TRAIN, VALIDATION, load_sequences
from s2gr.workspace import Workspace, read_table, write_table

MakeLog = Callable[[dict[str, list[str]]], Workspace]


def test_sequences_hold_each_users_items_in_order(make_log: MakeLog) -> None:
    workspace = make_log({"u1": ["b", "a", "c", "a"], "u2": ["c", "b"]})
    sequences = load_sequences(workspace.events, workspace.items)
    assert sequences.user_ids == ["u1", "u2"]
    assert sequences.item_ids == ["a", "b", "c"]
    assert sequences.offsets.tolist() == [0, 4, 6]
    assert sequences.items.tolist() == [1, 0, 2, 0, 2, 1]
    assert sequences.split.tolist() == [TRAIN, TRAIN, VALIDATION, TEST, TRAIN, TRAIN]
    assert sequences.users.tolist() == [0, 0, 0, 0, 1, 1]
    assert sequences.items.dtype == np.int32


def test_training_part_keeps_users_and_items_but_only_training_events(make_log: MakeLog) -> None:
    workspace = make_log({"u1": ["b", "a", "c", "a"], "u2": ["c", "b"]})
    training = load_sequences(workspace.events, workspace.items).training()
    assert training.n_users == 2
    assert training.n_items == 3
    assert training.offsets.tolist() == [0, 2, 4]
    assert training.items.tolist() == [1, 0, 2, 1]


def test_event_of_an_unknown_item_is_named(make_log: MakeLog) -> None:
    workspace = make_log({"u1": ["a", "b", "c"]})
    write_table(pa.table({"item_id": ["a", "b"]}), workspace.items)
    with pytest.raises(UserError, match=r"events.parquet: row 3, column item_id: expected .*, found 'c'"):
        load_sequences(workspace.events, workspace.items)


def test_events_out_of_order_are_refused(make_log: MakeLog) -> None:
    workspace = make_log({"u1": ["a", "b", "c"], "u2": ["a", "b", "c"]})
    table = read_table(workspace.events)
    write_table(table.take([1, 0, 2, 3, 4, 5]), workspace.events)
    with pytest.raises(UserError, match="sorted by user_id and position"):
        load_sequences(workspace.events, workspace.items)
