from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.sequences import TEST, TRAIN, VALIDATION, Sequences
from s2gr.walk import RECENCY, SECOND_STEP, GraphWalk, Kind

ITEMS = 6


def sequences_of(logs: list[list[int]]) -> Sequences:
    offsets = np.concatenate([[0], np.cumsum([len(log) for log in logs])]).astype(np.int64)
    split = [[TRAIN] * len(log) if len(log) < 3 else [TRAIN] * (len(log) - 2) + [VALIDATION, TEST] for log in logs]
    names = [f"i{item}" for item in range(ITEMS)]
    return Sequences(
        [f"u{user}" for user in range(len(logs))],
        offsets,
        np.array([item for log in logs for item in log], np.int32),
        np.array([part for parts in split for part in parts], np.uint8),
        names,
    )


def slow_scores(logs: list[list[int]], kind: Kind, history: list[int]) -> np.ndarray:
    """The walk from its definition, one pair at a time."""
    counts, popularity = np.zeros((ITEMS, ITEMS)), np.zeros(ITEMS)
    for log in logs:
        training = log if len(log) < 3 else log[:-2]
        for place, item in enumerate(training):
            popularity[item] += 1
            for other in range(place + 1, len(training)):
                if kind == "directed" and other == place + 1:
                    counts[item, training[other]] += 1
                if kind == "undirected" and other - place <= 3:
                    counts[item, training[other]] += 1
                    counts[training[other], item] += 1
    steps = np.array([row / row.sum() if row.sum() else row for row in counts])
    start = np.zeros(ITEMS)
    for weight, item in zip(RECENCY, reversed(history), strict=False):
        start[item] += weight
    return start @ steps + SECOND_STEP * start @ steps @ steps + 1e-6 * popularity / max(popularity.max(), 1)


LOGS = st.lists(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=8), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(
    logs=LOGS, history=st.lists(st.integers(0, ITEMS - 1), max_size=5), kind=st.sampled_from(["directed", "undirected"])
)
def test_walk_equals_its_definition(logs: list[list[int]], history: list[int], kind: Kind) -> None:
    padded = np.array([history + [-1] * (6 - len(history))])
    found = GraphWalk(sequences_of(logs), kind).scores(padded, np.array([len(history)]))
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(slow_scores(logs, kind, history), abs=2e-6)


@pytest.mark.parametrize("kind", ["directed", "undirected"])
def test_validation_and_test_items_do_not_reach_the_walk(kind: Kind) -> None:
    logs = [[0, 1, 2, 3, 4], [2, 1, 0, 5], [0, 1]]
    other = [[0, 1, 2, 5, 0], [2, 1, 3, 3], [0, 1]]
    histories, lengths = np.array([[0, 1, 2]]), np.array([3])
    assert np.array_equal(
        GraphWalk(sequences_of(logs), kind).scores(histories, lengths),
        GraphWalk(sequences_of(other), kind).scores(histories, lengths),
    )
    assert (GraphWalk(sequences_of(logs), kind).counts != GraphWalk(sequences_of(other), kind).counts).nnz == 0


def test_users_are_not_joined_end_to_end() -> None:
    counts = GraphWalk(sequences_of([[0, 1], [2, 3]])).counts.toarray()
    assert counts[1, 2] == 0
    assert counts[0, 1] == counts[2, 3] == 1


def test_batching_and_padding_do_not_change_the_scores() -> None:
    walk = GraphWalk(sequences_of([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1]]), "undirected")
    histories = np.array([[0, 1, -1], [2, 3, 4]])
    together = walk.scores(histories, np.array([2, 3]))
    assert np.array_equal(together[:1], walk.scores(np.array([[0, 1]]), np.array([2])))
    assert np.array_equal(together[1:], walk.scores(np.array([[2, 3, 4, -1, -1]]), np.array([3])))


SHARED = Path(__file__).parents[2].parent / "shared/data/amazon-beauty"


@pytest.mark.skipif(not SHARED.exists(), reason="needs the Beauty log")
def test_directed_walk_reproduces_its_known_figures_on_beauty() -> None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from s2gr.cases import build_cases
    from s2gr.evaluation.baselines import rank_targets
    from s2gr.evaluation.metrics import summarise

    table = pq.read_table(SHARED / "interactions.parquet", columns=["user_id", "item_id", "position"])
    table = table.take(pc.sort_indices(table, [("user_id", "ascending"), ("position", "ascending")]))
    catalogue = pc.unique(table["item_id"]).sort()
    users = table["user_id"].combine_chunks().dictionary_encode()
    lengths = np.bincount(users.indices.to_numpy())
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    items = pc.index_in(table["item_id"], value_set=catalogue).to_numpy().astype(np.int32)
    split = np.zeros(len(items), np.uint8)
    split[offsets[1:] - 2], split[offsets[1:] - 1] = VALIDATION, TEST
    sequences = Sequences(users.dictionary.to_pylist(), offsets, items, split, catalogue.to_pylist())
    ranks = rank_targets(GraphWalk(sequences), build_cases(sequences, "test", 20), 256, lambda cases: None)
    assert summarise(ranks.everything, [5, 10]) == pytest.approx(
        {"recall@5": 0.0538, "ndcg@5": 0.0397, "recall@10": 0.0735, "ndcg@10": 0.0460}, abs=6e-4
    )
