from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_checks.psi import noise, psi


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


def test_noise_has_the_mean_that_theory_gives() -> None:
    # (K − 1)(1/n_ref + 1/n_cur): the 0.25 of DESIGN §5 with 2,000 rows each and 256 codes.
    generator = np.random.default_rng(0)
    shares = np.full(256, 1 / 256)
    reference, current = generator.multinomial(2000, shares), generator.multinomial(2000, shares)
    found = noise(reference, current, 0.01, generator)
    assert found.mean == pytest.approx(255 * (1 / 2000 + 1 / 2000), rel=0.15)
    assert found.quantile > found.mean


@pytest.mark.parametrize(("n_reference", "n_current", "codes"), [(4000, 400, 16), (2000, 2000, 256), (300, 60, 64)])
def test_false_alarms_of_undrifted_windows_stay_within_the_rate(n_reference: int, n_current: int, codes: int) -> None:
    generator = np.random.default_rng(1)
    shares = generator.dirichlet(np.ones(codes))
    alarms = 0
    for _ in range(200):
        reference, current = generator.multinomial(n_reference, shares), generator.multinomial(n_current, shares)
        alarms += bool(psi(reference, current) > noise(reference, current, 0.02, generator).quantile)
    # 200 draws at 2 %: more than 10 have a probability below 0.3 %.
    assert alarms <= 10


def test_a_fixed_threshold_would_fire_on_small_windows() -> None:
    generator = np.random.default_rng(2)
    shares = np.full(256, 1 / 256)
    reference, current = generator.multinomial(2000, shares), generator.multinomial(2000, shares)
    assert psi(reference, current) > 0.1
    assert psi(reference, current) < noise(reference, current, 0.01, generator).threshold(0.25)


def test_threshold_is_the_larger_of_chance_and_floor() -> None:
    generator = np.random.default_rng(3)
    large = noise(np.array([5000, 5000]), np.array([5000, 5000]), 0.01, generator)
    assert large.threshold(0.25) == large.mean + 0.25
    assert large.threshold(0.0) == large.quantile
