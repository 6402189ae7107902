"""Is A better than B, or might it be these users? A paired bootstrap over users, seeded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Verdict = Literal["better", "worse", "can't tell"]

# Resampled cases held in memory at a time.
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Comparison:
    """The mean of A − B over users and its 95 % interval."""

    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """About A, at the 5 % level."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "can't tell"


def compare(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], resamples: int, generator: np.random.Generator
) -> Comparison:
    """Compare two systems by a metric's values for the same users.

    Args:
        a, b: float64 ``[users]``, the metric of each system.
        resamples: how often users are drawn anew, with replacement.

    Raises: ValueError: if the two differ in length or are empty.
    """
    if a.shape != b.shape or not len(a):
        raise ValueError(f"expected values of the same users, found shapes {a.shape} and {b.shape}")
    differences = a - b
    means = np.empty(resamples)
    rows = max(1, _CHUNK // len(a))
    for start in range(0, resamples, rows):
        drawn = generator.integers(0, len(a), size=(min(rows, resamples - start), len(a)), dtype=np.int32)
        means[start : start + rows] = differences[drawn].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Comparison(float(differences.mean()), float(low), float(high))
