"""Unique semantic IDs: a bijection, optimal inside a prefix, the same for every chunk size, taken codes untouched."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.errors import UserError
from s2gr.sids.assignment import assign, match

SHAPES = {"size": st.integers(2, 5), "levels": st.integers(2, 4), "seed": st.integers(0, 999)}
SPREADS = st.sampled_from([0.0, 0.01, 0.3, 1.0])


def squared(latent: np.ndarray, vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
    return ((latent - vectors[np.arange(len(vectors)), codes].sum(1)) ** 2).sum(1)


@settings(max_examples=80, deadline=None)
@given(**SHAPES, fill=st.floats(0.05, 1.0), spread=SPREADS, copies=st.integers(1, 4))
def test_any_embeddings_give_a_bijection(
    problem: Callable, size: int, levels: int, fill: float, seed: int, spread: float, copies: int
) -> None:
    items = max(1, int(fill * size**levels))
    latent, nearest, vectors = problem(items, size, levels, seed, spread)
    # Duplicates: the first items again.
    rows = np.arange(items) % max(1, items // copies)
    assignment = assign(latent[rows], nearest[rows], vectors)
    assert len(np.unique(assignment.codes, axis=0)) == items
    assert assignment.codes.min() >= 0
    assert assignment.codes.max() < size
    assert assignment.moved == (assignment.codes != nearest[rows]).any(1).sum()


@settings(max_examples=40, deadline=None)
@given(**SHAPES, fill=st.floats(0.2, 1.0), spread=SPREADS, chunk=st.integers(1, 40))
def test_the_chunk_size_does_not_matter(
    problem: Callable, size: int, levels: int, fill: float, seed: int, spread: float, chunk: int
) -> None:
    latent, nearest, vectors = problem(max(1, int(fill * size**levels)), size, levels, seed, spread)
    whole = assign(latent, nearest, vectors)
    assert np.array_equal(assign(latent, nearest, vectors, chunk=chunk).codes, whole.codes)


def test_the_chunk_size_does_not_matter_at_the_width_of_real_embeddings() -> None:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(6, 384)).astype(np.float32)
    latent = centres[generator.integers(0, 6, 900)] + np.float32(0.001) * generator.normal(size=(900, 384)).astype(
        np.float32
    )
    latent[100:300] = latent[100]
    vectors = np.stack([centres[generator.integers(0, 6, 32)] * 0.5**level for level in range(3)])
    nearest = np.zeros((900, 3), np.int64)
    results = [assign(latent, nearest, vectors, chunk=chunk).codes for chunk in (7, 100, 8192)]
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@settings(max_examples=60, deadline=None)
@given(**SHAPES, spread=SPREADS, shares=st.lists(st.floats(0.05, 0.5), min_size=1, max_size=4))
def test_a_later_batch_gets_free_ids_and_alters_no_earlier_one(
    problem: Callable, size: int, levels: int, seed: int, spread: float, shares: list[float]
) -> None:
    taken = np.zeros((0, levels), np.int64)
    for batch, share in enumerate(shares):
        items = min(max(1, int(share * size**levels)), size**levels - len(taken))
        if not items:
            break
        latent, nearest, vectors = problem(items, size, levels, seed + batch, spread)
        before = taken.copy()
        codes = assign(latent, nearest, vectors, taken).codes
        assert np.array_equal(taken, before)
        taken = np.concatenate([taken, codes])
        assert len(np.unique(taken, axis=0)) == len(taken)


@pytest.mark.parametrize("rows", [2, 4, 6])
def test_matching_is_optimal(rows: int) -> None:
    generator = np.random.default_rng(rows)
    for _ in range(20):
        cost = generator.integers(0, 50, (rows, 6)).astype(float)
        chosen = match(cost)
        assert len(set(chosen.tolist())) == rows
        best = min(sum(cost[row, code] for row, code in enumerate(choice)) for choice in permutations(range(6), rows))
        assert cost[np.arange(rows), chosen].sum() == best


@pytest.mark.parametrize("rows", [3, 20, 40])
def test_matching_with_prices_equals_the_plain_solver(rows: int) -> None:
    from scipy.optimize import linear_sum_assignment

    generator = np.random.default_rng(0)
    points = 0.2 * generator.normal(size=(rows, 4))
    cost = np.rint(1e6 * ((points[:, None] - generator.normal(size=(40, 4))) ** 2).sum(2))
    plain = linear_sum_assignment(cost)[1]
    assert cost[np.arange(rows), match(cost)].sum() == cost[np.arange(rows), plain].sum()


def test_matching_inside_a_prefix_is_optimal(problem: Callable) -> None:
    latent, _, vectors = problem(4, 5, 2, seed=5, spread=0.3)
    nearest = np.column_stack([np.zeros(4, int), np.zeros(4, int)])
    codes = assign(latent, nearest, vectors).codes
    residual = latent - vectors[0, 0]
    cost = ((residual[:, None] - vectors[1][None]) ** 2).sum(2)
    best = min(sum(cost[row, code] for row, code in enumerate(choice)) for choice in permutations(range(5), 4))
    assert (codes[:, 0] == 0).all()
    assert cost[np.arange(4), codes[:, 1]].sum() == pytest.approx(best, rel=1e-5)


def test_matching_beside_taken_codes_is_optimal(problem: Callable) -> None:
    latent, _, vectors = problem(3, 5, 2, seed=6, spread=0.3)
    taken = np.array([[0, 0], [0, 3], [1, 1]])
    codes = assign(latent, np.zeros((3, 2), np.int64), vectors, taken).codes
    residual = latent - vectors[0, 0]
    cost = ((residual[:, None] - vectors[1][None]) ** 2).sum(2)
    best = min(sum(cost[row, code] for row, code in enumerate(choice)) for choice in permutations([1, 2, 4]))
    assert (codes[:, 0] == 0).all()
    assert cost[np.arange(3), codes[:, 1]].sum() == pytest.approx(best, rel=1e-5)


def test_items_without_a_collision_keep_their_codes(problem: Callable) -> None:
    latent, nearest, vectors = problem(8, 6, 2, seed=1)
    crowded = {tuple(row) for row in nearest[:, :1] if (nearest[:, :1] == row).all(1).sum() > 1}
    codes = assign(latent, nearest, vectors).codes
    for row in range(8):
        if tuple(nearest[row, :1]) not in crowded:
            assert (codes[row] == nearest[row]).all()


def test_a_catalogue_that_does_not_fit_is_refused(problem: Callable) -> None:
    latent, nearest, vectors = problem(5, 2, 2, seed=0)
    with pytest.raises(UserError, match=r"5 items do not fit into 2\^2 semantic IDs"):
        assign(latent, nearest, vectors)
    with pytest.raises(UserError, match=r"5 items do not fit into 2\^2 semantic IDs"):
        assign(latent[:2], nearest[:2], vectors, taken=np.array([[0, 0], [0, 1], [1, 1]]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_latent_vector_that_is_not_finite_is_refused_naming_its_row(problem: Callable, value: float) -> None:
    latent, nearest, vectors = problem(5, 4, 2, seed=0)
    latent[3, 1] = value
    with pytest.raises(UserError, match=r"item 4 of 5: its latent vector is not finite"):
        assign(latent, nearest, vectors, chunk=2)


def test_counts_moved_items_and_their_extra_distance() -> None:
    vectors = np.zeros((2, 2, 1), np.float32)
    vectors[0, :, 0], vectors[1, :, 0] = [0.0, 100.0], [0.0, 1.0]
    latent = np.array([[0.0], [0.1]], np.float32)
    assignment = assign(latent, np.zeros((2, 2), int), vectors)
    assert assignment.codes.tolist() == [[0, 0], [0, 1]]
    assert (assignment.moved, assignment.rerouted) == (1, 0)
    assert assignment.extra_distance == pytest.approx(0.9**2 - 0.1**2, rel=1e-5)
    assert assignment.mean_error == pytest.approx(0.1**2 / 2, rel=1e-5)
    assert assignment.extra_relative == pytest.approx(160, rel=1e-4)


def test_extra_distance_is_the_mean_over_moved_items(problem: Callable) -> None:
    latent, nearest, vectors = problem(60, 4, 3, seed=3, spread=0.5)
    found = assign(latent, nearest, vectors, chunk=7)
    moved = (found.codes != nearest).any(1)
    extra = squared(latent, vectors, found.codes) - squared(latent, vectors, nearest)
    assert found.extra_distance == pytest.approx(extra[moved].mean(), rel=1e-4)
    assert found.mean_error == pytest.approx(squared(latent, vectors, nearest).mean(), rel=1e-4)
