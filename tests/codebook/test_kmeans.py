"""Residual k-means: fixed points of Lloyd's algorithm, degenerate input, repeatability."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.codebook import kmeans as module
from s2gr.codebook.kmeans import kmeans, residual_kmeans, sample_rows


def blobs(seed: int, rows: int = 300, dim: int = 3) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(8, dim)) * 5)[generator.integers(8, size=rows)].astype(
        np.float32
    ) + generator.normal(size=(rows, dim)).astype(np.float32)


def test_centres_are_the_means_of_their_rows_and_rows_lie_at_their_nearest_centre() -> None:
    rows = blobs(0)
    found = kmeans(rows, 8, 300, seed=0)
    distances = ((rows[:, None] - found.centres) ** 2).sum(2)
    np.testing.assert_array_equal(found.labels, distances.argmin(1))
    for code in range(8):
        np.testing.assert_allclose(found.centres[code], rows[found.labels == code].mean(0), atol=1e-3)
    assert 1 <= found.iterations < 300


def test_each_level_clusters_what_the_levels_before_left_over() -> None:
    residual = rows = blobs(1)
    for level, (found, loss) in enumerate(residual_kmeans(rows, 3, 4, 50, seed=7)):
        alone = kmeans(residual, 4, 50, seed=7 + level)
        np.testing.assert_array_equal(found.centres, alone.centres)
        residual = residual - alone.centres[alone.labels]
        assert loss == pytest.approx(float((residual**2).sum(1).mean()), rel=1e-5)


def test_started_at_its_own_result_it_stays_there() -> None:
    rows = blobs(2)
    first = kmeans(rows, 8, 300, seed=0)
    again = kmeans(rows, 8, 300, seed=1, start=first.centres)
    np.testing.assert_allclose(again.centres, first.centres, atol=1e-3)
    np.testing.assert_array_equal(again.labels, first.labels)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(2, 9), st.integers(1, 4), st.integers(0, 99))
def test_few_distinct_rows_are_centres_themselves(distinct: int, codes: int, copies: int, seed: int) -> None:
    rows = np.repeat(np.random.default_rng(seed).normal(size=(distinct, 3)).astype(np.float32), copies, axis=0)
    found = kmeans(rows, codes, 20, seed)
    assert found.centres.shape == (codes, 3)
    assert np.isfinite(found.centres).all()
    assert len(found.labels) == len(rows)
    if distinct <= codes:
        np.testing.assert_array_equal(found.centres[found.labels], rows)


def test_the_same_seed_gives_the_same_bytes() -> None:
    rows = blobs(3)
    assert kmeans(rows, 8, 25, seed=5).centres.tobytes() == kmeans(rows, 8, 25, seed=5).centres.tobytes()


def test_a_large_catalogue_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_CODE", 10)
    assert sample_rows(40, codes=4, seed=0) == slice(None)
    rows = sample_rows(41, codes=4, seed=0)
    assert isinstance(rows, np.ndarray)
    assert len(set(rows.tolist())) == 40
    np.testing.assert_array_equal(rows, np.sort(rows))
    np.testing.assert_array_equal(rows, sample_rows(41, codes=4, seed=0))
