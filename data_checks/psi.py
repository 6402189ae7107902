"""The population stability index of two windows of events, and how much of it is noise.

PSI = Σ_b (r_b − c_b)·ln(r_b / c_b) over bins b, with r and c the shares of the reference and the current window.
Without any drift it is not 0 but about (K − 1)(1/n_ref + 1/n_cur) for K bins, so a fixed threshold such as 0.1 always
fires on small windows. The noise is measured here, by dealing the pooled events out to the two windows at random: if
nothing drifted, the observed split is one of those, so the quantile holds the false-alarm rate, empty bins included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]

# The quantile is the so-many-th largest of the re-dealt PSIs: with 1 it would be as noisy as an extreme is.
_RANK = 2
# Re-dealt at once: thousands of prefixes times thousands of draws need not lie in memory together.
_CHUNK = 256


@dataclass(frozen=True)
class Noise:
    """PSI of windows that differ by chance only: its mean, and what it exceeds with the false-alarm rate."""

    mean: float
    quantile: float

    def threshold(self, floor: float) -> float:
        """What a PSI must exceed to count as drift: chance, *and* a practical ``floor`` above the mean of chance.

        On large windows any difference is beyond chance, and tastes always move a little: there the floor decides.
        On small ones the quantile does.
        """
        return max(self.quantile, self.mean + floor)


def psi(reference: Counts, current: Counts) -> npt.NDArray[np.float64]:
    """PSI of each pair of rows.

    An empty bin gets the share that Evidently gives it, so that both tools say the same: 0.0001, or a millionth of the
    window's smallest share where that is smaller than 0.0001.

    Args:
        reference: int64 ``[..., bins]``, events per bin.
        current: int64 ``[..., bins]``.
    Returns: float64 ``[...]``.
    """
    r, c = _shares(reference), _shares(current)
    total: npt.NDArray[np.float64] = np.sum((r - c) * np.log(r / c), axis=-1)
    return total


def noise(reference: Counts, current: Counts, false_alarm: float, generator: np.random.Generator) -> Noise:
    """PSI under no drift, for windows of these sizes.

    Args:
        reference: int64 ``[bins]``, events per bin.
        current: int64 ``[bins]``.
        false_alarm: how often undrifted windows may exceed the quantile, in (0, 1).
    """
    pooled = reference + current
    draws = math.ceil(_RANK / false_alarm) - 1
    values = np.empty(draws)
    for start in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - start)
        dealt = generator.multivariate_hypergeometric(pooled, int(current.sum()), size=size, method="marginals")
        values[start : start + size] = psi(pooled - dealt, dealt)
    values.sort()
    return Noise(mean=float(values.mean()), quantile=float(values[-_RANK]))


def _shares(counts: Counts) -> npt.NDArray[np.float64]:
    shares = counts / counts.sum(axis=-1, keepdims=True)
    smallest = np.min(np.where(shares > 0, shares, np.inf), axis=-1, keepdims=True)
    filled: npt.NDArray[np.float64] = np.where(
        shares > 0, shares, np.where(smallest <= 0.0001, smallest / 1_000_000, 0.0001)
    )
    return filled
