"""Is A better than B, or might it be these users? A paired bootstrap over users, seeded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Verdict = Literal["better", "worse", "can't tell"]

# Resampled cases held in memory at a time.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Comparison:
    """The mean of A − B over users and its interval, of 95 % unless another level was asked for."""

    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """About A, at the level of the interval."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "can't tell"

    def as_dict(self) -> dict[str, float | str]:
        """For a report, rounded to 6 digits."""
        figures = {"difference": self.difference, "low": self.low, "high": self.high}
        return {name: round(value, 6) for name, value in figures.items()} | {"verdict": self.verdict}


def compare(
    a: npt.NDArray[np.float64],
    b: npt.NDArray[np.float64],
    resamples: int,
    generator: np.random.Generator,
    level: float = 0.05,
) -> Comparison:
    """Compare two systems by a metric's values for the same users.

    Args:
        a, b: float64 ``[users]``, the metric of each system.
        resamples: how often users are drawn anew, with replacement.
        level: how often equal systems may be called different.

    Raises: ValueError: if the two differ in length or are empty.
    """
    return compare_all(a, {"b": b}, resamples, generator, level)["b"]


def compare_all(
    a: npt.NDArray[np.float64],
    others: Mapping[str, npt.NDArray[np.float64]],
    resamples: int,
    generator: np.random.Generator,
    level: float = 0.05,
) -> dict[str, Comparison]:
    """:func:`compare` of one system with each of ``others``, on the same resamples.

    Raises: ValueError: if two differ in length or are empty.
    """
    for b in others.values():
        if a.shape != b.shape or not len(a):
            raise ValueError(f"expected values of the same users, found shapes {a.shape} and {b.shape}")
    differences = {name: a - b for name, b in others.items()}
    means = {name: np.empty(resamples) for name in others}
    rows = max(1, _CHUNK // max(len(a), 1))
    for start in range(0, resamples, rows):
        drawn = generator.integers(0, len(a), size=(min(rows, resamples - start), len(a)), dtype=np.int32)
        for name, difference in differences.items():
            means[name][start : start + rows] = difference[drawn].mean(axis=1)
    return {
        name: Comparison(float(difference.mean()), *map(float, np.quantile(means[name], [level / 2, 1 - level / 2])))
        for name, difference in differences.items()
    }
