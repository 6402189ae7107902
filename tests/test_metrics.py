from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, top_k_accuracy_score

from s2gr.evaluation.ranking import top_lists
from s2gr.metrics import NOT_RANKED, Ranks, gains, hits, ranks_in_list, reciprocals, summarise


def ranks_by_score(scores: np.ndarray, targets: np.ndarray, k: int | None = None, seen: object = None) -> Ranks:
    """As the evaluation ranks whatever scores the whole catalogue: the targets' places in the lists of the best."""
    mask = torch.zeros(scores.shape, dtype=torch.bool) if seen is None else torch.tensor(seen)
    lists = top_lists(scores.astype(np.float32), mask, k or scores.shape[1])
    return ranks_in_list(lists["" if seen is None else "_seen_filtered"], targets)


def test_hand_computed_recall_and_ndcg() -> None:
    ranks = np.array([0, 2, 4, 5, NOT_RANKED])
    assert summarise(ranks, [1, 5]) == {
        "recall@1": 0.2,
        "ndcg@1": 0.2,
        "mrr@1": 0.2,
        "recall@5": 0.6,
        "ndcg@5": round((1 + 1 / math.log2(4) + 1 / math.log2(6)) / 5, 6),
        "mrr@5": round((1 + 1 / 3 + 1 / 5) / 5, 6),
    }


def test_ranks_in_list_are_places_and_misses_are_not_ranked() -> None:
    ranked = np.array([[3, 1, 2], [3, 1, 2], [5, -1, -1]])
    assert ranks_in_list(ranked, np.array([3, 2, 0])).tolist() == [0, 2, NOT_RANKED]


def test_equal_scores_are_ranked_by_item_index() -> None:
    scores = np.array([[0.5, 0.9, 0.5, 0.5]])
    assert [int(ranks_by_score(scores, np.array([target]))[0]) for target in range(4)] == [1, 0, 2, 3]


def test_an_item_taken_out_of_the_ranking_is_a_miss_even_if_few_are_left() -> None:
    scores, seen = np.array([[0.5, 1.0, 0.7]]), [[True, False, True]]
    assert ranks_by_score(scores, np.array([2]), seen=seen).tolist() == [NOT_RANKED]
    assert ranks_by_score(scores, np.array([1]), seen=seen).tolist() == [0]


def test_an_oracle_scores_one() -> None:
    targets = np.arange(50)
    ranks = ranks_by_score(np.eye(50), targets)
    assert set(summarise(ranks, [1, 5, 10]).values()) == {1.0}


def test_figures_equal_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    users, items = 400, 30
    scores = generator.random((users, items), dtype=np.float32)
    targets = generator.integers(0, items, users)
    ranks = ranks_by_score(scores, targets)
    relevant = np.eye(items)[targets]
    for k in (1, 5, 10):
        assert hits(ranks, k).mean() == pytest.approx(top_k_accuracy_score(targets, scores, k=k, labels=range(items)))
        assert gains(ranks, k).mean() == pytest.approx(ndcg_score(relevant, scores, k=k))
    # Of one relevant item, average precision is the reciprocal rank.
    assert reciprocals(ranks, items).mean() == pytest.approx(label_ranking_average_precision_score(relevant, scores))


def test_a_random_ranker_finds_k_of_n_within_its_interval() -> None:
    users, items, k = 20_000, 100, 10
    generator = np.random.default_rng(0)
    ranks = ranks_by_score(generator.random((users, items)), generator.integers(0, items, users), k)
    expected = k / items
    assert abs(hits(ranks, k).mean() - expected) < 4 * math.sqrt(expected * (1 - expected) / users)


@given(
    scores=st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=7, max_size=7), min_size=1, max_size=5),
    k=st.integers(1, 7),
    data=st.data(),
)
def test_ranks_equal_those_of_a_sort_and_of_the_sorted_list(
    scores: list[list[float]], k: int, data: st.DataObject
) -> None:
    targets = [data.draw(st.integers(0, 6)) for _ in scores]
    ranked = [sorted(range(7), key=lambda item, row=row: (-row[item], item)) for row in scores]
    slow = [order.index(target) for order, target in zip(ranked, targets, strict=True)]
    assert ranks_by_score(np.array(scores), np.array(targets)).tolist() == slow
    in_list = ranks_in_list(np.array(ranked)[:, :k], np.array(targets))
    assert in_list.tolist() == [rank if rank < k else NOT_RANKED for rank in slow]
