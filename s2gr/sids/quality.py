"""How good a set of semantic IDs is: use of the codes, prefix entropy, cohesion with co-occurrence.

None of these figures is the goal: which codebook recommends best is seen on the reasoner's validation NDCG.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from s2gr.metrics import gini
from s2gr.sids.prefixes import prefix_ids

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LevelQuality:
    """Use of one level's codes by the items."""

    utilisation: float  # share of codes that some item has
    dead_codes: int
    perplexity: float  # 2^entropy: the number of equally used codes that would be as uncertain
    entropy: float  # bits
    gini: float  # 0: all codes equally used
    largest_code: int  # items of the most used code


def level_quality(codes: IntArray, size: int) -> LevelQuality:
    """Of one level's codes ``[items]``, each in ``[0, size)``."""
    counts = np.bincount(codes, minlength=size)
    entropy = _entropy(counts)
    dead = int((counts == 0).sum())
    return LevelQuality(1 - dead / size, dead, 2**entropy, entropy, gini(counts), int(counts.max()))


def collision_share(codes: IntArray, size: int) -> tuple[float, int]:
    """The share of items whose codes ``[items, L]`` another item has too, and the largest such group."""
    counts = np.unique(prefix_ids(codes, size), return_counts=True)[1]
    return float(counts[counts > 1].sum() / len(codes)), int(counts.max())


def prefix_entropy(codes: IntArray, size: int) -> list[float]:
    """Bits that the first l codes tell about which item it is, l = 1..L; the most possible is log2(items)."""
    return [
        _entropy(np.unique(prefix_ids(codes[:, : level + 1], size), return_counts=True)[1])
        for level in range(codes.shape[1])
    ]


def unique_rate(codes: IntArray, size: int) -> float:
    """Different semantic IDs per item: 1 if no two items share one."""
    return len(np.unique(prefix_ids(codes, size))) / len(codes)


@dataclass(frozen=True)
class Cohesion:
    """How often two items share their first codes."""

    cooccurring: float  # the share of the given pairs that do
    random: float  # of all pairs of items

    @property
    def ratio(self) -> float | None:
        """How much likelier the given pairs are to; None where no two items share them."""
        return self.cooccurring / self.random if self.random else None


def cohesion(codes: IntArray, size: int, pairs: IntArray, levels: int) -> Cohesion:
    """Of the pairs ``[pairs, 2]`` of item rows, for the first ``levels`` codes."""
    numbers = prefix_ids(codes[:, :levels], size)
    shared = float((numbers[pairs[:, 0]] == numbers[pairs[:, 1]]).mean()) if len(pairs) else 0.0
    counts = np.unique(numbers, return_counts=True)[1].astype(float)
    items = len(codes)
    return Cohesion(shared, float((counts * (counts - 1)).sum() / max(items * (items - 1), 1)))


def quality(codes: IntArray, size: int, pairs: IntArray) -> dict[str, Any]:
    """``cohesion_1``, …, ``cohesion_{L−1}`` and ``level_1``, …, ``level_L`` of codes ``[items, L]``."""
    figures: dict[str, Any] = {}
    for levels in range(1, codes.shape[1]):
        found = cohesion(codes, size, pairs, levels)
        figures[f"cohesion_{levels}"] = {**asdict(found), "ratio": found.ratio}
    entropy = prefix_entropy(codes, size)
    for level in range(codes.shape[1]):
        used = asdict(level_quality(codes[:, level], size))
        figures[f"level_{level + 1}"] = {**used, "prefix_entropy": entropy[level]}
    return figures


def _entropy(counts: npt.NDArray[np.int64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0
