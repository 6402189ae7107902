from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.evaluation import baselines
from s2gr.evaluation.baselines import ItemKNN, KnnSettings, Popularity
from s2gr.evaluation.ranking import top_lists

from .small import ITEMS, LOGS, sequences_of


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    seen=st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=4),
    k=st.integers(1, 7),
)
def test_popularity_ranks_like_its_counts(counts: list[int], seen: list[list[bool]], k: int) -> None:
    mask = torch.tensor(seen)
    found = Popularity(np.array(counts)).lists(mask, k)
    expected = top_lists(np.tile(np.array(counts, np.float32), (len(seen), 1)), mask, k)
    for suffix, lists in expected.items():
        width = found[suffix].shape[1]
        assert np.array_equal(lists[:, :width], found[suffix])
        assert (lists[:, width:] == -1).all()


def slow_similarity(logs: list[list[int]], shrinkage: float) -> np.ndarray:
    users = [set(log if len(log) < 3 else log[:-2]) for log in logs]
    similarity = np.zeros((ITEMS, ITEMS))
    for i in range(ITEMS):
        for j in range(ITEMS):
            of_i, of_j = ({user for user, items in enumerate(users) if item in items} for item in (i, j))
            if i != j and of_i & of_j:
                similarity[i, j] = len(of_i & of_j) / (np.sqrt(len(of_i) * len(of_j)) + shrinkage)
    return similarity


@settings(max_examples=60, deadline=None)
@given(
    logs=LOGS,
    history=st.lists(st.integers(0, ITEMS - 1), max_size=5),
    neighbours=st.sampled_from([1, 2, 99]),
    shrinkage=st.sampled_from([0.0, 10.0]),
)
def test_item_knn_equals_its_definition(
    logs: list[list[int]], history: list[int], neighbours: int, shrinkage: float
) -> None:
    similarity = slow_similarity(logs, shrinkage)
    for row in similarity:
        # float32 decides between equally similar ones as the fast path does.
        order = sorted(range(ITEMS), key=lambda item, row=row: (-np.float32(row[item]), item))
        row[order[neighbours:]] = 0.0
    expected = sum((similarity[item] for item in set(history)), np.zeros(ITEMS))
    padded = np.array([history + [-1] * (6 - len(history))])
    knn = ItemKNN(sequences_of(logs), KnnSettings(neighbours, shrinkage))
    assert knn.scores(padded, np.array([len(history)]))[0] == pytest.approx(expected, abs=3e-6)


def test_neighbours_sought_in_blocks_are_those_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sequences = sequences_of(np.random.default_rng(0).integers(0, ITEMS, (20, 6)).tolist())
    histories, lengths = np.array([[0, 1, 2], [3, 4, -1]]), np.array([3, 2])
    whole = ItemKNN(sequences, KnnSettings(neighbours=3)).scores(histories, lengths)
    monkeypatch.setattr(baselines, "_BLOCK", 2)
    assert np.array_equal(ItemKNN(sequences, KnnSettings(neighbours=3)).scores(histories, lengths), whole)


def test_held_out_items_do_not_reach_item_knn() -> None:
    logs, other = [[0, 1, 2, 3, 4], [2, 1, 0, 5], [0, 1]], [[0, 1, 2, 5, 0], [2, 1, 3, 3], [0, 1]]
    histories, lengths = np.array([[0, 1, 2]]), np.array([3])
    scores = [ItemKNN(sequences_of(each)).scores(histories, lengths) for each in (logs, other)]
    assert np.array_equal(*scores)
