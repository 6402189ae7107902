"""Unique semantic IDs: optimal, bijective, deterministic."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.errors import UserError
from s2gr.sids.assignment import assign


def nearest_codes(latent: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    residual, codes = latent.copy(), []
    for level in vectors:
        code = ((residual[:, None] - level[None]) ** 2).sum(2).argmin(1)
        codes.append(code)
        residual = residual - level[code]
    return np.stack(codes, 1)


def problem(items: int, size: int, levels: int, seed: int, spread: float = 1.0) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    latent = (spread * generator.normal(size=(items, 3))).astype(np.float32)
    vectors = generator.normal(size=(levels, size, 3)).astype(np.float32)
    return latent, nearest_codes(latent, vectors), vectors


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(2, 5),
    levels=st.integers(2, 3),
    fill=st.floats(0.05, 1.0),
    seed=st.integers(0, 999),
    spread=st.sampled_from([0.0, 0.01, 1.0]),
)
def test_any_embeddings_give_a_bijection(size: int, levels: int, fill: float, seed: int, spread: float) -> None:
    items = max(1, int(fill * size**levels))
    latent, nearest, vectors = problem(items, size, levels, seed, spread)
    codes = assign(latent, nearest, vectors).codes
    assert len(np.unique(codes, axis=0)) == items
    assert codes.min() >= 0
    assert codes.max() < size


def test_matching_inside_a_prefix_is_optimal() -> None:
    latent, _, vectors = problem(4, 5, 2, seed=5, spread=0.3)
    nearest = np.column_stack([np.zeros(4, int), np.zeros(4, int)])
    codes = assign(latent, nearest, vectors).codes
    residual = latent - vectors[0, 0]
    cost = ((residual[:, None] - vectors[1][None]) ** 2).sum(2)
    best = min(sum(cost[row, code] for row, code in enumerate(choice)) for choice in permutations(range(5), 4))
    assert (codes[:, 0] == 0).all()
    assert cost[np.arange(4), codes[:, 1]].sum() == pytest.approx(best, rel=1e-5)


def test_items_without_a_collision_keep_their_codes() -> None:
    latent, nearest, vectors = problem(8, 6, 2, seed=1)
    crowded = {tuple(row) for row in nearest[:, :1] if (nearest[:, :1] == row).all(1).sum() > 1}
    codes = assign(latent, nearest, vectors).codes
    for row in range(8):
        if tuple(nearest[row, :1]) not in crowded:
            assert (codes[row] == nearest[row]).all()


def test_an_overfull_prefix_sends_the_items_that_lose_least() -> None:
    vectors = np.zeros((2, 2, 1), np.float32)
    vectors[0, :, 0], vectors[1, :, 0] = [0.0, 10.0], [-0.5, 0.5]
    latent = np.array([[-1.0], [0.5], [4.0]], np.float32)
    assignment = assign(latent, nearest_codes(latent, vectors), vectors)
    # All three are nearest to prefix 0, which has two places; the item at 4 loses least by going to 10.
    assert assignment.rerouted == 1
    assert assignment.codes[:, 0].tolist() == [0, 0, 1]
    assert len(np.unique(assignment.codes, axis=0)) == 3


def test_a_catalogue_that_does_not_fit_is_refused() -> None:
    latent, nearest, vectors = problem(5, 2, 2, seed=0)
    with pytest.raises(UserError, match=r"5 items do not fit into 2\^2 semantic IDs"):
        assign(latent, nearest, vectors)


def test_counts_moved_items_and_their_extra_distance() -> None:
    vectors = np.zeros((2, 2, 1), np.float32)
    vectors[0, :, 0], vectors[1, :, 0] = [0.0, 100.0], [0.0, 1.0]
    latent = np.array([[0.0], [0.1]], np.float32)
    assignment = assign(latent, np.zeros((2, 2), int), vectors)
    assert assignment.codes.tolist() == [[0, 0], [0, 1]]
    assert assignment.moved == 1
    assert assignment.extra_distance == pytest.approx(0.9**2 - 0.1**2, rel=1e-5)
