"""What the published model itself says of the newest events: is it less sure of itself, and does it recommend worse?

It is asked about the last event of each user who was there since (s2gr/publish/since.py); the reference are its own
newest held-out targets, which it never learned from. Users are independent of each other, so means of two groups of
users are compared by their standard errors.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from data_checks.psi import Noise
from data_checks.signals import NotMeasured, Signal

Values = npt.NDArray[np.float64]

# Fewer users tell nothing.
FEWEST = 30


def thinking(now: Values, before: Values, false_alarm: float, worth: float) -> Signal | NotMeasured:
    """By how much the mean entropy of the thinking clusters has moved, up or down."""
    if not len(before):
        return NotMeasured("the model doesn't think, or was not aligned to clusters")
    if len(now) < FEWEST:
        return NotMeasured(f"{len(now)} users since, {FEWEST} are needed")
    error = _standard_error(now, before)
    limit = float(stats.norm.isf(false_alarm / 2)) * error
    return Signal(
        "thinking_entropy_move",
        "change of the clusters' entropy, as a share of the most possible,",
        abs(float(now.mean() - before.mean())),
        # The mean of |N(0, σ)|.
        Noise(error * (2 / np.pi) ** 0.5, limit),
        worth,
        details={"now": float(now.mean()), "reference": float(before.mean()), "users": len(now)},
    )


def recall(now: Values, before: Values, false_alarm: float, worth: float) -> Signal | NotMeasured:
    """What share of its Recall@10 the model has lost."""
    if len(now) < FEWEST:
        return NotMeasured(f"{len(now)} users since, {FEWEST} are needed")
    level = float(before.mean()) if len(before) else 0.0
    if not level:
        return NotMeasured("the model found none of its own held-out targets")
    limit = float(stats.norm.isf(false_alarm)) * _standard_error(now, before) / level
    return Signal(
        "recall_lost",
        "share of Recall@10 that is lost",
        1 - float(now.mean()) / level,
        Noise(0.0, limit),
        worth,
        details={"now": float(now.mean()), "reference": level, "users": len(now)},
    )


def _standard_error(a: Values, b: Values) -> float:
    """Of the difference of two means, if both are of one distribution."""
    return float(np.concatenate([a, b]).std(ddof=1) * np.sqrt(1 / len(a) + 1 / len(b)))
