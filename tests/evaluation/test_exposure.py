from __future__ import annotations

import math

import numpy as np
import pytest

from s2gr.evaluation.exposure import exposure
from s2gr.metrics import gini


def test_hand_computed_figures() -> None:
    # Items 0 … 3 with 3, 1, 1 and 0 training events; −1 fills up.
    found = exposure(np.array([[0, 1], [0, -1], [0, 2]]), np.array([3, 1, 1, 0]))
    assert found.coverage == 3 / 4
    information = [-math.log2(share / 9) for share in (4, 2, 2, 1)]
    assert found.novelty == pytest.approx((3 * information[0] + information[1] + information[2]) / 5)
    assert found.mean_popularity == pytest.approx((3 * 3 + 1 + 1) / 5)
    # Less popular than item 0: three of four items, and half of itself.
    assert found.popularity_percentile == pytest.approx((3 * 3.5 / 4 + 2 * 2 / 4) / 5)


def test_random_lists_are_in_the_middle_and_spread_out() -> None:
    generator = np.random.default_rng(0)
    popularity = generator.zipf(1.5, 200)
    found = exposure(generator.integers(0, 200, (3000, 10)), popularity)
    assert found.coverage == 1.0
    assert found.popularity_percentile == pytest.approx(0.5, abs=0.01)
    assert found.mean_popularity == pytest.approx(popularity.mean(), rel=0.05)
    assert found.gini < 0.06


def test_gini_is_0_for_equal_and_almost_1_for_one() -> None:
    assert gini(np.array([5, 5, 5])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 9])) == pytest.approx(3 / 4)


def test_lists_without_items_are_refused() -> None:
    with pytest.raises(ValueError, match="no list holds an item"):
        exposure(np.full((2, 3), -1), np.array([1, 2]))
