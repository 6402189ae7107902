"""The population stability index of two windows of events, and how much of it is chance.

PSI = Σ_b (r_b − c_b)·ln(r_b / c_b) over bins b, with r and c the shares of the reference and the current window.
Without any drift it is not 0 but, for independent events, about (K − 1)(1/n_ref + 1/n_cur) for K bins, so a fixed
threshold such as 0.1 always fires on small windows.

Nor are events independent: a user comes in a burst, and a burst has one taste. So chance is measured by re-dealing
*blocks* and not events. A block is what one user did in one stretch of time as long as the current window. Had nothing
changed, the blocks of the current window would be like any others of that length; so all blocks are shuffled, some are
dealt out until they hold as many events as the current window, and their PSI against the rest is one draw of chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse, stats

Counts = npt.NDArray[np.int64]

# Draws of chance: so many, or as few as the larger number of events allows; the tail is fitted, not counted.
_MOST_DRAWS, _FEWEST_DRAWS = 2_000, 300
# Events that all draws may deal out together, which bounds the time.
_DEALT = 200_000_000
# Draws worked on at a time, which bounds the memory.
_CHUNK = 64


@dataclass(frozen=True)
class Noise:
    """A statistic of windows that differ by chance only: its mean, and what it exceeds with the false-alarm rate."""

    mean: float
    limit: float


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


def tail(draws: npt.NDArray[np.float64], false_alarm: float) -> Noise:
    """Mean and upper limit of draws of chance, the tail by a Pearson III (shifted gamma) law of equal three moments.

    A sum of squares of many bins is nearly a sum of χ²; the fit reaches further out than counting the draws would.
    """
    mean, deviation = float(draws.mean()), float(draws.std())
    if not deviation:
        return Noise(mean, mean)
    # A law that leans to the left has an upper end; chance of this kind doesn't.
    skew = max(float(stats.skew(draws)), 0.0)
    return Noise(mean, float(stats.pearson3.ppf(1 - false_alarm, skew, loc=mean, scale=deviation)))


def redealt(sizes: Counts, table: Any, events: int, generator: np.random.Generator) -> Counts:
    """What blocks hold that are dealt out at random to a window.

    Args:
        sizes: int64 ``[blocks]``, events of each.
        table: sparse ``[blocks, bins]``, how many of a block's events fall into each bin of whatever is counted.
        events: that the window holds.
    Returns: int64 ``[draws, bins]``.
    """
    draws = int(np.clip(_DEALT // max(events, 1), _FEWEST_DRAWS, _MOST_DRAWS))
    counted = []
    for start in range(0, draws, _CHUNK):
        chosen = [_deal(sizes, events, generator) for _ in range(min(_CHUNK, draws - start))]
        rows = np.repeat(np.arange(len(chosen), dtype=np.int32), [len(blocks) for blocks in chosen])
        ones = np.ones(len(rows), dtype=np.int32)
        selection = sparse.csr_array((ones, (rows, np.concatenate(chosen))), shape=(len(chosen), len(sizes)))
        counted.append(np.asarray((selection @ table).toarray(), dtype=np.int64))
    return np.concatenate(counted)


def _deal(sizes: Counts, events: int, generator: np.random.Generator) -> npt.NDArray[np.int32]:
    order = generator.permutation(len(sizes)).astype(np.int32)
    dealt = np.cumsum(sizes[order])
    last = int(np.searchsorted(dealt, events))
    # The block that fills the window is dealt if that comes nearer to its size than leaving it out.
    nearer = last < len(dealt) and dealt[last] - events <= events - (dealt[last - 1] if last else 0)
    return order[: max(last + nearer, 1)]


def _shares(counts: Counts) -> npt.NDArray[np.float64]:
    shares = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    smallest = np.min(np.where(shares > 0, shares, np.inf), axis=-1, keepdims=True)
    filled: npt.NDArray[np.float64] = np.where(
        shares > 0, shares, np.where(smallest <= 0.0001, smallest / 1_000_000, 0.0001)
    )
    return filled
