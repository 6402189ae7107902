"""The signals that are counted: the codes of each level, the prefix, and the share of events without a semantic ID."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from data_checks.psi import Counts, Noise, psi, redealt, tail
from data_checks.signals import Signal
from data_checks.windows import Blocks, Tally
from s2gr.params import Drift

# Column of events on items without a semantic ID, beside those with one.
_WITHOUT = 0


@dataclass(frozen=True)
class Counted:
    """PSI of each feature of bins.sql, and the share of events without a semantic ID."""

    features: list[Signal]
    without_sid: Signal


def measure(
    tallies: list[Tally],
    without: Counts,
    blocks: Blocks,
    drift: Drift,
    false_alarm: float,
    generator: np.random.Generator,
) -> Counted:
    """Hold both windows against what chance gives to windows of their sizes.

    Args:
        without: int64 ``[2, 2]``: events of the reference and of the current window, without and with a semantic ID.
        false_alarm: of each signal.
    """
    tables = [blocks.tables["known"], *(blocks.tables[tally.name] for tally in tallies)]
    dealt = redealt(blocks.sizes, sparse.hstack(tables, format="csr"), int(without[1].sum()), generator)
    known, *columns = np.split(dealt, np.cumsum([table.shape[1] for table in tables])[:-1], axis=1)
    pooled = without.sum(0)
    shares = _share(known) - _share(pooled - known)
    without_sid = Signal(
        "without_sid",
        "share of events on items without a semantic ID",
        float(_share(without[1])),
        _above(float(_share(without[0])), tail(shares, false_alarm)),
        drift.without_sid,
    )
    return Counted(
        [_feature(tally, column, drift, false_alarm) for tally, column in zip(tallies, columns, strict=True)],
        without_sid,
    )


def _feature(tally: Tally, dealt: Counts, drift: Drift, false_alarm: float) -> Signal:
    pooled = tally.reference + tally.current
    chance = tail(psi(np.maximum(pooled - dealt, 0), dealt), false_alarm)
    return Signal(
        f"{tally.name}_psi",
        f"PSI of {tally.name}",
        float(psi(tally.reference, tally.current)),
        chance,
        drift.floor,
        settled=_settled(tally, chance, drift.floor),
        details={"bins": len(tally.labels), "moved": _moved(tally)},
    )


def _settled(tally: Tally, chance: Noise, floor: float) -> bool:
    """Whether the newest events of the reference are spread as the current ones are, so the model has seen the move.

    The mean of chance is in proportion to 1/n_reference + 1/n_current.
    """
    reference, recent, current = (int(part.sum()) for part in (tally.reference, tally.recent, tally.current))
    if not recent:
        return False
    mean = chance.mean * (1 / recent + 1 / current) / (1 / reference + 1 / current)
    return bool(psi(tally.recent, tally.current) - mean <= floor)


def _moved(tally: Tally) -> list[str]:
    """The five bins whose share moved most: what to look at first."""
    before, after = tally.reference / tally.reference.sum(), tally.current / tally.current.sum()
    top = np.lexsort((np.arange(len(before)), -np.abs(after - before)))[:5]
    return [f"{tally.labels[bin]}: {before[bin]:.2%} → {after[bin]:.2%}" for bin in top]


def _share(counts: Counts) -> npt.NDArray[np.float64]:
    total: npt.NDArray[np.float64] = counts[..., _WITHOUT] / np.maximum(counts.sum(axis=-1), 1)
    return total


def _above(level: float, noise: Noise) -> Noise:
    return Noise(level + noise.mean, level + noise.limit)
