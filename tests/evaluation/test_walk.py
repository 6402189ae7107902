from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.sequences import TEST, VALIDATION, Sequences
from s2gr.walk import WalkWeights

from .small import ITEMS, LOGS, sequences_of, walk_of


def slow_scores(logs: list[list[int]], kind: str, history: list[int], weights: WalkWeights) -> np.ndarray:
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
    for age, item in enumerate(list(reversed(history))[: weights.items]):
        start[item] += weights.decay**age
    return start @ steps + weights.second_step * start @ steps @ steps + 1e-6 * popularity / max(popularity.max(), 1)


@settings(max_examples=60, deadline=None)
@given(
    logs=LOGS,
    histories=st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=5), min_size=1, max_size=40),
    kind=st.sampled_from(["directed", "undirected"]),
    weights=st.sampled_from([WalkWeights(), WalkWeights(0.9, 2, 0.0), WalkWeights(0.0, 1, 1.0)]),
)
def test_walk_equals_its_definition(
    logs: list[list[int]], histories: list[list[int]], kind: str, weights: WalkWeights
) -> None:
    padded = np.array([history + [-1] * (6 - len(history)) for history in histories])
    found = walk_of(sequences_of(logs), kind, weights).scores(padded, np.array([len(each) for each in histories]))
    assert found.dtype == np.float32
    for row, history in zip(found, histories, strict=True):
        assert row == pytest.approx(slow_scores(logs, kind, history, weights), abs=2e-6)


def test_the_default_weights_are_those_of_the_published_trial() -> None:
    assert WalkWeights().recency == pytest.approx([1.0, 0.6, 0.36])
    assert WalkWeights().second_step == 0.3


@pytest.mark.parametrize("kind", ["directed", "undirected"])
def test_validation_and_test_items_do_not_reach_the_walk(kind: str) -> None:
    logs = [[0, 1, 2, 3, 4], [2, 1, 0, 5], [0, 1]]
    other = [[0, 1, 2, 5, 0], [2, 1, 3, 3], [0, 1]]
    histories, lengths = np.array([[0, 1, 2]]), np.array([3])
    assert np.array_equal(
        walk_of(sequences_of(logs), kind).scores(histories, lengths),
        walk_of(sequences_of(other), kind).scores(histories, lengths),
    )
    assert (walk_of(sequences_of(logs), kind).counts != walk_of(sequences_of(other), kind).counts).nnz == 0


def test_users_are_not_joined_end_to_end() -> None:
    counts = walk_of(sequences_of([[0, 1], [2, 3]])).counts.toarray()
    assert counts[1, 2] == 0
    assert counts[0, 1] == counts[2, 3] == 1


def test_batching_and_padding_do_not_change_the_scores() -> None:
    walk = walk_of(sequences_of([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1]]), "undirected")
    histories = np.array([[0, 1, -1], [2, 3, 4]])
    together = walk.scores(histories, np.array([2, 3]))
    assert np.array_equal(together[:1], walk.scores(np.array([[0, 1]]), np.array([2])))
    assert np.array_equal(together[1:], walk.scores(np.array([[2, 3, 4, -1, -1]]), np.array([3])))


SHARED = Path(__file__).parents[2].parent / "shared/data/amazon-beauty"


@pytest.mark.skipif(not SHARED.exists(), reason="needs the Beauty log")
def test_directed_walk_reproduces_its_known_figures_on_beauty() -> None:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from benchmarks.scorers import rank_scorer
    from s2gr.cases import build_cases
    from s2gr.metrics import summarise

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
    ranked = rank_scorer(walk_of(sequences), build_cases(sequences, "test", 20), 10)
    found = summarise(ranked.ranks[""], [5, 10])
    known = {"recall@5": 0.0538, "ndcg@5": 0.0397, "recall@10": 0.0735, "ndcg@10": 0.0460}
    assert {name: found[name] for name in known} == pytest.approx(known, abs=6e-4)
