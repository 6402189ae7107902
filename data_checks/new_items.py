"""Do the new items fit the frozen codebook as well as the catalogue's own items would, were they new?

Both sides are relative quantisation errors (s2gr/publish/reference.py). The statistic is the probability that a new
item has a larger one than a left-out item of the catalogue (Mann–Whitney): ½ by chance.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from data_checks.psi import Noise
from data_checks.signals import NotMeasured, Signal

Values = npt.NDArray[np.float64]

# Fewer new items tell nothing.
_FEWEST = 8


def compare(new: Values, left_out: Values, false_alarm: float, worth: float) -> Signal | NotMeasured:
    """The signal of new items with the errors ``new``, beside the reference ``left_out``.

    Args:
        worth: the probability, in (½, 1), that is worth an alarm.
    """
    if len(new) < _FEWEST:
        return NotMeasured(f"{len(new)} new items, {_FEWEST} are needed")
    ordered = np.sort(left_out)
    below, not_above = (np.searchsorted(ordered, new, side) for side in ("left", "right"))
    probability = float((below + not_above).mean()) / 2 / len(left_out)
    # The normal law of Mann and Whitney; ties only make it narrower.
    deviation = ((len(new) + len(left_out) + 1) / (12 * len(new) * len(left_out))) ** 0.5
    limit = 0.5 + float(stats.norm.isf(false_alarm)) * deviation
    return Signal(
        "new_items_error",
        "probability that a new item fits worse than a left-out one",
        probability,
        Noise(0.5, limit),
        worth - 0.5,
        details={"items": len(new), "median": float(np.median(new)), "reference_median": float(np.median(left_out))},
    )
