from __future__ import annotations

import math

import numpy as np
import pytest

from s2gr.evaluation.significance import Comparison, compare


def test_interval_is_that_of_the_normal_approximation_for_many_users() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.normal(0.1, 1.0, 4000), np.zeros(4000)
    found = compare(a, b, 2000, np.random.default_rng(0))
    half = 1.96 * a.std() / math.sqrt(len(a))
    assert found.difference == pytest.approx(a.mean())
    assert found.low == pytest.approx(a.mean() - half, abs=0.004)
    assert found.high == pytest.approx(a.mean() + half, abs=0.004)


def test_pairing_sees_a_small_constant_gain_under_large_variance_between_users() -> None:
    b = np.random.default_rng(2).normal(0, 10, 500)
    assert compare(b + 0.01, b, 200, np.random.default_rng(0)).verdict == "better"
    assert compare(b, b + 0.01, 200, np.random.default_rng(0)).verdict == "worse"


def test_false_alarms_stay_near_five_percent() -> None:
    generator = np.random.default_rng(3)
    verdicts = [
        compare(generator.normal(size=100), generator.normal(size=100), 200, np.random.default_rng(0)).verdict
        for _ in range(300)
    ]
    assert sum(verdict != "can't tell" for verdict in verdicts) <= 30


def test_same_seed_gives_the_same_interval_and_chunking_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).random((2, 50))
    whole = compare(*values, 300, np.random.default_rng(7))
    monkeypatch.setattr("s2gr.evaluation.significance._CHUNK", 50)
    assert compare(*values, 300, np.random.default_rng(7)) == whole


def test_an_interval_that_touches_zero_decides_nothing() -> None:
    assert Comparison(0.1, 0.0, 0.2).verdict == "can't tell"


def test_different_users_are_refused() -> None:
    with pytest.raises(ValueError, match=r"same users.*\(3,\) and \(2,\)"):
        compare(np.zeros(3), np.zeros(2), 100, np.random.default_rng(0))
