"""How far one system is above another over several metrics at once, with an interval over users."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from s2gr.evaluation.significance import Comparison


def relative_gain(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], resamples: int, generator: np.random.Generator
) -> Comparison:
    """By which factor A is above B, less one: the mean over several metrics, with its 95 % interval over users.

    Args:
        a, b: float64 ``[users, metrics]``; with several seeds, the mean of each user's values over the seeds.

    Raises: ValueError: if the two differ in shape or are empty, or B is 0 in a metric.
    """
    if a.shape != b.shape or not len(a):
        raise ValueError(f"expected values of the same users, found shapes {a.shape} and {b.shape}")
    if not b.mean(axis=0).all():
        raise ValueError("a relative gain over 0 is not defined")
    gains = np.empty(resamples)
    for index in range(resamples):
        drawn = np.bincount(generator.integers(0, len(a), len(a), dtype=np.int32), minlength=len(a))
        with np.errstate(divide="ignore", invalid="ignore"):
            gains[index] = np.mean((drawn @ a) / (drawn @ b) - 1)
    # A draw without a single hit of B says nothing.
    gains = gains[np.isfinite(gains)]
    gain = float(np.mean(a.mean(axis=0) / b.mean(axis=0) - 1))
    return Comparison(gain, *map(float, np.quantile(gains, [0.025, 0.975])))
