from __future__ import annotations

import numpy as np
import pytest

from benchmarks.relative_gain import relative_gain


def test_relative_gain_is_the_mean_of_the_metrics_gains() -> None:
    b = np.random.default_rng(5).random((400, 2)) + 0.5
    found = relative_gain(b * [1.1, 1.3], b, 200, np.random.default_rng(0))
    assert found.difference == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2)
    noisy = relative_gain(np.random.default_rng(6).random((400, 2)) + 0.5, b, 200, np.random.default_rng(0))
    assert noisy.low < 0 < noisy.high


def test_relative_gain_over_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="over 0"):
        relative_gain(np.ones((3, 1)), np.zeros((3, 1)), 100, np.random.default_rng(0))
