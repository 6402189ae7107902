"""What the baselines are tuned with: a factor for the history, and the best of what is tried."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from benchmarks.scorers import rank_scorer
from benchmarks.tuned import (
    MIX,
    Damped,
    Mixture,
    damped,
    mixed,
    rank_chosen,
    tuned_mixture,
    tuned_walks,
)
from s2gr.cases import build_cases
from s2gr.evaluation.ranking import FILTERS
from s2gr.metrics import gains
from s2gr.reasoner.fusion import REPEATS
from s2gr.sequences import TEST, TRAIN, VALIDATION, Sequences
from s2gr.walk import GRID, GraphWalk, WalkCounts

ITEMS, USERS, LENGTH = 30, 60, 12


def walkers(seed: int) -> Sequences:
    """Users who go around a circle of items, one step at a time with now and then a jump, and never come back."""
    generator = np.random.default_rng(seed)
    steps = 1 + (generator.random((USERS, LENGTH)) < 0.2)
    items = (generator.integers(0, ITEMS, (USERS, 1)) + steps.cumsum(1)) % ITEMS
    split = np.tile(np.array([TRAIN] * (LENGTH - 2) + [VALIDATION, TEST], dtype=np.uint8), USERS)
    offsets = np.arange(USERS + 1) * LENGTH
    names = [f"i{item}" for item in range(ITEMS)]
    return Sequences([f"u{user}" for user in range(USERS)], offsets, items.astype(np.int32).ravel(), split, names)


def test_only_the_history_is_damped_and_once() -> None:
    scores = np.array([[1.0, 2.0, 3.0, 4.0]], np.float32)
    assert damped(scores, np.array([[1, 3, 1, -1]]), 0.25).tolist() == [[1.0, 0.5, 3.0, 1.0]]
    assert scores.tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_a_mixture_is_one_of_distributions() -> None:
    network, walked = np.array([[0.2, 0.8]], np.float32), np.array([[3.0, 1.0]], np.float32)
    assert mixed(network, walked, 0.6).tolist() == [pytest.approx([0.6 * 0.2 + 0.4 * 0.75, 0.6 * 0.8 + 0.4 * 0.25])]


class Knowing:
    """A network that knows every user's direction, and says most of where they are."""

    def scores(self, histories: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        found = np.full((len(histories), ITEMS), 0.001, np.float32)
        rows = np.arange(len(histories))
        last = histories[rows, lengths - 1]
        found[rows, last] = 0.6
        found[rows, (last + 1) % ITEMS] = 0.3
        return found


def test_each_filter_gets_the_best_of_what_is_tried_for_it() -> None:
    sequences = walkers(0)
    cases = build_cases(sequences, "validation", 20)
    network = Knowing()
    walks = tuned_walks(WalkCounts.of(sequences), cases)
    mixture = tuned_mixture(network, walks, cases)
    assert mixture["_seen_filtered"].factor == 1
    for suffix in FILTERS:
        chosen = gains(rank_chosen(mixture, cases, 10).ranks[suffix], 10).mean()
        tried = []
        for choices in walks.values():
            for share, factor in product(MIX, (1.0,) if suffix else REPEATS):
                found = rank_scorer(Damped(Mixture(network, choices[suffix].scorer, share), factor), cases, 10)
                tried.append(gains(found.ranks[suffix], 10).mean())
        assert chosen == pytest.approx(max(tried))


def test_a_walk_where_nobody_comes_back_leaves_out_the_history() -> None:
    sequences = walkers(1)
    cases = build_cases(sequences, "validation", 20)
    counts = WalkCounts.of(sequences)
    chosen = rank_chosen(tuned_walks(counts, cases)["undirected"], cases, 10)
    plain = [rank_scorer(GraphWalk(counts.undirected, counts.popularity, each), cases, 10) for each in GRID]
    assert gains(chosen.ranks[""], 10).mean() > max(gains(found.ranks[""], 10).mean() for found in plain)
