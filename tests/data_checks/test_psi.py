from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from data_checks.psi import psi, redealt, tail


def test_psi_of_two_bins_is_the_hand_computed_value() -> None:
    # r = (0.5, 0.5), c = (0.2, 0.8)
    by_hand = 0.3 * math.log(0.5 / 0.2) - 0.3 * math.log(0.5 / 0.8)
    assert psi(np.array([50, 50]), np.array([20, 80])) == pytest.approx(by_hand)


def test_an_empty_bin_counts_as_a_ten_thousandth() -> None:
    by_hand = (0.5 - 0.0001) * math.log(0.5 / 0.0001) + (0.5 - 1) * math.log(0.5 / 1)
    assert psi(np.array([50, 50]), np.array([0, 80])) == pytest.approx(by_hand)


def test_an_empty_bin_beside_a_rare_one_counts_as_a_millionth_of_it() -> None:
    reference, current = np.array([0, 1, 99_999]), np.array([1000, 1000, 98_000])
    r, c = [1e-5 / 1e6, 1e-5, 0.99999], [0.01, 0.01, 0.98]
    by_hand = sum((a - b) * math.log(a / b) for a, b in zip(r, c, strict=True))
    assert psi(reference, current) == pytest.approx(by_hand)


counts = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=20).filter(
    lambda pairs: sum(a for a, _ in pairs) > 0 and sum(b for _, b in pairs) > 0
)


@given(counts)
def test_psi_is_not_negative_and_symmetric(pairs: list[tuple[int, int]]) -> None:
    reference, current = np.array(pairs).T
    value = psi(reference, current)
    assert value == pytest.approx(psi(current, reference))
    # The shares of empty bins are not taken from the others, so that a sum may fall short of 0 by about one of them.
    assert value > -0.01


@given(counts)
@settings(max_examples=20)
def test_psi_of_a_window_with_itself_is_zero(pairs: list[tuple[int, int]]) -> None:
    reference = np.array(pairs)[:, 0]
    assert psi(reference, reference) == 0


def test_rows_are_measured_one_by_one() -> None:
    reference, current = np.array([[50, 50], [10, 90]]), np.array([[20, 80], [30, 70]])
    assert psi(reference, current) == pytest.approx([psi(reference[row], current[row]) for row in range(2)])


def one_event_blocks(bins: Any, codes: int) -> Any:
    """Every event hangs together with itself only."""
    ones = np.ones(len(bins), dtype=np.int32)
    return sparse.csr_array((ones, (np.arange(len(bins)), bins)), shape=(len(bins), codes))


def chance_of_independent_events(n_reference: int, n_current: int, codes: int) -> Any:
    generator = np.random.default_rng(0)
    bins = generator.integers(codes, size=n_reference + n_current)
    pooled = np.bincount(bins, minlength=codes)
    sizes = np.ones(len(bins), dtype=np.int64)
    dealt = redealt(sizes, one_event_blocks(bins, codes), n_current, generator)
    return psi(pooled - dealt, dealt)


def test_chance_of_independent_events_has_the_mean_that_theory_gives() -> None:
    # (K − 1)(1/n_ref + 1/n_cur): about 0.25 with 2,000 rows each and 256 codes, where a threshold of 0.1 always fires.
    assert chance_of_independent_events(2000, 2000, 256).mean() == pytest.approx(255 * (1 / 2000 + 1 / 2000), rel=0.1)


def test_the_tail_is_that_of_chi_squared() -> None:
    draws = np.random.default_rng(0).chisquare(255, 2000)
    found = tail(draws, 0.001)
    assert found.mean == pytest.approx(255, rel=0.01)
    assert found.limit == pytest.approx(stats.chi2.isf(0.001, 255), rel=0.01)


def test_the_tail_of_a_skewed_law_is_longer_than_that_of_a_normal_one() -> None:
    found = tail(np.random.default_rng(0).chisquare(3, 4000), 0.001)
    assert found.limit == pytest.approx(stats.chi2.isf(0.001, 3), rel=0.1)


def test_what_never_varies_has_no_tail() -> None:
    assert tail(np.zeros(100), 0.01).limit == 0


def test_bursts_of_one_taste_make_chance_larger() -> None:
    # 400 users with ten events of one code each are 400 draws and not 4,000.
    generator = np.random.default_rng(0)
    taste = generator.integers(16, size=400)
    table = sparse.csr_array((np.full(400, 10), (np.arange(400), taste)), shape=(400, 16))
    dealt = redealt(np.full(400, 10), table, 1000, generator)
    pooled = np.bincount(taste, minlength=16) * 10
    assert psi(pooled - dealt, dealt).mean() == pytest.approx(10 * 15 * (1 / 3000 + 1 / 1000), rel=0.15)


@given(st.lists(st.integers(1, 40), min_size=3, max_size=30), st.data())
@settings(max_examples=50)
def test_dealt_windows_have_the_size_that_is_asked_for_up_to_a_block(sizes: list[int], data: st.DataObject) -> None:
    events = data.draw(st.integers(1, sum(sizes)))
    table = sparse.csr_array(np.array(sizes)[:, None])
    dealt = redealt(np.array(sizes), table, events, np.random.default_rng(0))[:, 0]
    assert np.all(np.abs(dealt - events) <= max(sizes))
    assert np.all(dealt > 0)
