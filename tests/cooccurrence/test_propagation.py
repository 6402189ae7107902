"""S²GR §1.1: propagation against a dense reference and a hand-computed example."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.cooccurrence.propagation import propagate, symmetric_adjacency


def dense_reference(content, adjacency, teleport, steps):
    """The formula as it stands, on dense matrices; items without an edge keep their content."""
    degree = adjacency.sum(axis=1)
    normalised = np.zeros_like(adjacency)
    for i in range(len(adjacency)):
        for j in range(len(adjacency)):
            if adjacency[i, j]:
                normalised[i, j] = adjacency[i, j] / np.sqrt(degree[i] * degree[j])
    hidden = [content]
    for _ in range(steps):
        hidden.append((1 - teleport) * normalised @ hidden[-1] + teleport * content)
    weights = np.array([teleport * (1 - teleport) ** k for k in range(steps + 1)])
    aligned = sum(weight * h for weight, h in zip(weights / weights.sum(), hidden, strict=True))
    return np.where(degree[:, None] > 0, aligned, content)


def graph(*edges: tuple[int, int, int], items: int):
    first, second, counts = np.array(edges, dtype=np.int64).reshape(-1, 3).T
    return symmetric_adjacency(first, second, counts, items)


def test_three_items_by_hand() -> None:
    # 0 and 1 co-occur, 2 is alone: Â_01 = 1/√(1·1) = 1. α = ½, one step: β = (½, ¼)/¾ = (⅔, ⅓).
    # H¹_0 = ½·x_1 + ½·x_0 = (½, ½), so H_0 = ⅔·(1, 0) + ⅓·(½, ½) = (5/6, 1/6).
    content = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    found = propagate(content, graph((0, 1, 1), items=3), teleport=0.5, steps=1)
    np.testing.assert_allclose(found, [[5 / 6, 1 / 6], [1 / 6, 5 / 6], [0.6, 0.8]], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 8).flatmap(
        lambda items: st.tuples(
            st.just(items),
            st.dictionaries(
                st.tuples(st.integers(0, items - 1), st.integers(0, items - 1)).filter(lambda pair: pair[0] < pair[1]),
                st.integers(1, 50),
            )
            if items > 1
            else st.just({}),
        )
    ),
    st.floats(0.05, 1.0),
    st.integers(0, 4),
    st.integers(0, 99),
)
def test_it_is_the_dense_formula(problem, teleport: float, steps: int, seed: int) -> None:
    items, edges = problem
    content = np.random.default_rng(seed).normal(size=(items, 3)).astype(np.float32)
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    dense = np.zeros((items, items))
    for (a, b), count in edges.items():
        dense[a, b] = dense[b, a] = count
    adjacency = graph(*((a, b, count) for (a, b), count in edges.items()), items=items)
    np.testing.assert_array_equal(adjacency.toarray(), dense)
    found = propagate(content, adjacency, teleport, steps)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, dense_reference(content.astype(np.float64), dense, teleport, steps), atol=1e-5)


@pytest.mark.parametrize(("teleport", "steps"), [(1.0, 3), (0.3, 0)])
def test_switched_off_it_returns_the_content(teleport: float, steps: int) -> None:
    content = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_array_equal(propagate(content, graph((0, 1, 2), (1, 2, 1), items=3), teleport, steps), content)


@pytest.mark.parametrize(("items", "teleport", "steps"), [(4, 0.5, 1), (3, 0.0, 1), (3, 1.1, 1), (3, 0.5, -1)])
def test_arguments_that_do_not_fit_are_refused(items: int, teleport: float, steps: int) -> None:
    with pytest.raises(ValueError, match=r"adjacency is|expected 0 < teleport"):
        propagate(np.ones((3, 2), dtype=np.float32), graph((0, 1, 1), items=items), teleport, steps)
