"""Single signals against hand-computed values, and their false alarms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_checks import model_signals, new_items
from data_checks.psi import Noise
from data_checks.result import Check
from data_checks.signals import NotMeasured, Signal, result

CHECK = Check("c", "warning", "why")
ERRORS = st.lists(st.integers(0, 9).map(float), min_size=8, max_size=20)


@pytest.mark.parametrize(
    ("observed", "settled", "verdict"),
    [(0.1, False, "as before"), (0.3, False, "moved"), (0.5, False, "alarm"), (0.5, True, "settled")],
)
def test_an_alarm_is_beyond_chance_worth_it_and_new(observed: float, settled: bool, verdict: str) -> None:
    signal = Signal("s", "s", observed, Noise(0.1, 0.2), 0.25, settled)
    assert signal.verdict == verdict
    assert result(CHECK, [signal], {}).passed is (verdict != "alarm")


def test_on_small_windows_chance_decides_and_not_what_is_worth_an_alarm() -> None:
    assert Signal("s", "s", 0.5, Noise(0.1, 0.6), 0.25).verdict == "as before"


def test_the_check_shows_the_signal_that_is_an_alarm() -> None:
    quiet, loud = Signal("a", "A", 0.3, Noise(0, 0.1), 0.29, True), Signal("b", "B", 0.3, Noise(0, 0.1), 0.295)
    found = result(CHECK, [quiet, loud], {"published": "v"})
    assert (found.metadata["expected"], found.metadata["verdict"]) == ("B at most 0.2950", "alarm")
    assert (found.metadata["a_verdict"], found.metadata["published"]) == ("settled", "v")


def test_what_is_not_measured_is_not_held_against_anything() -> None:
    found = result(CHECK, NotMeasured("too few"), {})
    assert found.passed
    assert found.metadata["observed"] == "not measured: too few"


@given(ERRORS, ERRORS)
def test_new_items_statistic_is_the_share_of_pairs(new: list[float], left_out: list[float]) -> None:
    found = new_items.compare(np.array(new), np.array(left_out), 0.01, 0.7)
    pairs = [(a > b) + (a == b) / 2 for a in new for b in left_out]
    assert isinstance(found, Signal)
    assert found.observed == pytest.approx(sum(pairs) / len(pairs))


def test_new_items_of_the_same_law_alarm_as_rarely_as_asked_for() -> None:
    generator = np.random.default_rng(0)
    alarms = 0
    for _ in range(400):
        found = new_items.compare(generator.exponential(size=40), generator.exponential(size=200), 0.02, 0.5)
        assert isinstance(found, Signal)
        alarms += found.verdict == "alarm"
    # 400 draws at 2 %: more than 16 have a probability below 0.5 %.
    assert alarms <= 16


def test_few_items_and_few_users_are_not_measured() -> None:
    assert isinstance(new_items.compare(np.zeros(7), np.zeros(50), 0.01, 0.7), NotMeasured)
    assert isinstance(model_signals.thinking(np.zeros(29), np.zeros(50), 0.01, 0.1), NotMeasured)
    assert isinstance(model_signals.recall(np.zeros(29), np.ones(50), 0.01, 0.3), NotMeasured)
    assert isinstance(model_signals.recall(np.zeros(99), np.zeros(50), 0.01, 0.3), NotMeasured)
    assert isinstance(model_signals.thinking(np.zeros(99), np.zeros(0), 0.01, 0.1), NotMeasured)


def test_lost_recall_is_a_share_of_what_there_was() -> None:
    found = model_signals.recall(np.repeat([0.0, 1.0], [90, 10]), np.repeat([0.0, 1.0], [80, 20]), 0.01, 0.3)
    assert isinstance(found, Signal)
    assert found.observed == pytest.approx(0.5)
    # Pooled: p = .15, sd of one user .357, of the difference .0505, at 2.326 and as a share of .2.
    deviation = np.std(np.repeat([0.0, 1.0], [170, 30]), ddof=1) * np.sqrt(2 / 100)
    assert found.chance.limit == pytest.approx(2.3263 * deviation / 0.2, rel=1e-3)


def test_users_of_the_same_law_alarm_as_rarely_as_asked_for() -> None:
    generator = np.random.default_rng(1)
    alarms = np.zeros(2)
    for _ in range(400):
        hits, entropies = (generator.random(150) < 0.2, generator.beta(5, 2, 150))
        more_hits, more_entropies = (generator.random(600) < 0.2, generator.beta(5, 2, 600))
        for place, found in enumerate(
            (
                model_signals.recall(hits * 1.0, more_hits * 1.0, 0.02, 0.0),
                model_signals.thinking(entropies, more_entropies, 0.02, 0.0),
            )
        ):
            assert isinstance(found, Signal)
            alarms[place] += found.observed > found.chance.limit
    assert np.all(alarms <= 16)
