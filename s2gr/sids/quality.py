"""How good a set of semantic IDs is: use of the codes, prefix entropy, cohesion with co-occurrence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from s2gr.sids.assignment import prefix_ids

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
    ranked = np.sort(counts)
    # Gini = Σ (2i − n − 1) x_i / (n Σ x), x ascending, i from 1.
    gini = float(((2 * np.arange(1, size + 1) - size - 1) * ranked).sum() / (size * counts.sum()))
    dead = int((counts == 0).sum())
    return LevelQuality(1 - dead / size, dead, 2**entropy, entropy, gini, int(counts.max()))


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


def cohesion(codes: IntArray, size: int, pairs: IntArray, levels: int) -> tuple[float, float]:
    """How often the pairs ``[pairs, 2]`` of item rows share their first ``levels`` codes, and how often any two do."""
    numbers = prefix_ids(codes[:, :levels], size)
    shared = float((numbers[pairs[:, 0]] == numbers[pairs[:, 1]]).mean()) if len(pairs) else 0.0
    counts = np.unique(numbers, return_counts=True)[1].astype(float)
    items = len(codes)
    return shared, float((counts * (counts - 1)).sum() / (items * (items - 1)))


def _entropy(counts: npt.NDArray[np.int64]) -> float:
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0
