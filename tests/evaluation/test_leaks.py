"""What a model learns from must not hold what it is tested on: held-out events reach nothing before the evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from s2gr.cooccurrence.stage import count_pairs
from s2gr.evaluation.baselines import ItemKNN
from s2gr.params import Cooccurrence, Params, Runtime
from s2gr.reasoner import stage as reasoner
from s2gr.reasoner.batches import packed_batches
from s2gr.sequences import Sequences, load_sequences
from s2gr.workspace import Workspace, read_table, write_table

from .small import walk_of, write_log

USERS, ITEMS = 20, 15
MadeWith = Callable[..., Params]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    generator = np.random.default_rng(0)
    log = {f"u{user:02}": [f"i{item:02}" for item in generator.integers(0, ITEMS, 9)] for user in range(USERS)}
    return write_log(tmp_path, log | {"u99": [f"i{item:02}" for item in range(ITEMS)]})


def learned_from(workspace: Workspace) -> list[object]:
    """Pair counts, both walks, item-kNN and an epoch of training batches: all that is made from the log."""
    pairs = count_pairs(workspace.events, workspace.items, Cooccurrence(), Runtime(), workspace.state)
    sequences = load_sequences(workspace.events, workspace.items)
    histories, lengths = np.arange(ITEMS)[:, None], np.ones(ITEMS, np.int64)
    scorers = (walk_of(sequences), walk_of(sequences, "undirected"), ItemKNN(sequences))
    batches = packed_batches(sequences.training(), 5, 32, 0)
    return [
        pairs.to_pydict(),
        *(scorer.scores(histories, lengths).tolist() for scorer in scorers),
        [(batch.items.tolist(), batch.targets.tolist()) for batch in batches],
    ]


def with_items(workspace: Workspace, rows: np.ndarray, items: list[str]) -> None:
    """Put other items into these rows of the log."""
    table = read_table(workspace.events)
    column = np.array(table["item_id"].to_pylist())
    column[rows] = items
    write_table(table.set_column(table.column_names.index("item_id"), "item_id", pa.array(column)), workspace.events)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_shuffled_held_out_events_change_nothing_that_is_learned(workspace: Workspace, split: str) -> None:
    before = learned_from(workspace)
    table = read_table(workspace.events)
    rows = np.flatnonzero(np.array(table["split"].to_pylist()) == split)
    items = np.array(table["item_id"].to_pylist())[rows]
    with_items(workspace, rows, np.random.default_rng(1).permutation(items).tolist())
    assert read_table(workspace.events) != table
    assert learned_from(workspace) == before


def trained(finished: Workspace, params: Params, outputs: Workspace) -> bytes:
    """The weights after an epoch of the stage `reasoner` on the log of ``finished``."""
    reasoner.run(params, finished, outputs)
    return (outputs.reasoner / "model.safetensors").read_bytes()


def with_other_held_out_items(finished: Workspace) -> None:
    table = read_table(finished.events)
    rows = np.flatnonzero(np.array(table["split"].to_pylist()) != "train")
    items = np.array(table["item_id"].to_pylist())[rows]
    with_items(finished, rows, np.random.default_rng(1).permutation(items).tolist())


def test_held_out_items_reach_no_weight(finished: Workspace, made_with: MadeWith, tmp_path: Path) -> None:
    before = trained(finished, made_with(), Workspace(tmp_path / "before"))
    with_other_held_out_items(finished)
    assert trained(finished, made_with(), Workspace(tmp_path / "after")) == before


def test_a_training_that_sees_held_out_items_is_noticed(
    finished: Workspace, made_with: MadeWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail."""
    monkeypatch.setattr(Sequences, "training", lambda self: self)
    before = trained(finished, made_with(), Workspace(tmp_path / "before"))
    with_other_held_out_items(finished)
    assert trained(finished, made_with(), Workspace(tmp_path / "after")) != before


def test_a_planted_future_step_is_caught(workspace: Workspace) -> None:
    before = learned_from(workspace)
    table = read_table(workspace.events)
    test = np.flatnonzero(np.array(table["split"].to_pylist()) == "test")[:1]
    # The last training event of the first user becomes what they are to be tested on.
    with_items(workspace, test - 2, [table["item_id"][int(test[0])].as_py()])
    after = learned_from(workspace)
    assert all(one != other for one, other in zip(before, after, strict=True))
