"""The measures that validation, evaluation, gate and reports share, so that a figure means the same wherever it stands.

Item-level Recall@K, NDCG@K and MRR@K have one target per case and follow from its rank, the number of items ranked
before it, 0 at the top. Every item has a semantic ID of its own, so a ranking of IDs is one of items: no place is
shared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ranks = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

# The rank of a target that the ranking does not contain.
NOT_RANKED = np.iinfo(np.int64).max // 2


def ranks_in_list(ranked: npt.NDArray[np.integer], targets: npt.NDArray[np.integer]) -> Ranks:
    """Where the target stands in a ranked list.

    Args:
        ranked: items ``[cases, k]``, best first; −1 fills up a list that is shorter.
        targets: ``[cases]``.

    Returns: int64 ``[cases]``, ``NOT_RANKED`` where the list does not hold the target.
    """
    found = ranked == targets[:, None]
    return np.where(found.any(axis=1), found.argmax(axis=1), NOT_RANKED)


def hits(ranks: Ranks, k: int) -> Values:
    """Recall@K of each case, float64 ``[cases]``."""
    return (ranks < k).astype(np.float64)


def gains(ranks: Ranks, k: int) -> Values:
    """NDCG@K of each case, float64 ``[cases]``: with one target the ideal is 1, so it is ``1 / log2(rank + 2)``."""
    return np.where(ranks < k, 1.0 / np.log2(ranks + 2.0), 0.0)


def reciprocals(ranks: Ranks, k: int) -> Values:
    """MRR@K of each case, float64 ``[cases]``: ``1 / (rank + 1)`` within the first K."""
    return np.where(ranks < k, 1.0 / (ranks + 1.0), 0.0)


def summarise(ranks: Ranks, ks: Sequence[int]) -> dict[str, float]:
    """``recall@k``, ``ndcg@k`` and ``mrr@k`` over all cases, for each k, rounded to 6 digits."""
    summary: dict[str, float] = {}
    for k in ks:
        summary[f"recall@{k}"] = round(float(hits(ranks, k).mean()), 6)
        summary[f"ndcg@{k}"] = round(float(gains(ranks, k).mean()), 6)
        summary[f"mrr@{k}"] = round(float(reciprocals(ranks, k).mean()), 6)
    return summary


def gini(counts: npt.NDArray[np.integer]) -> float:
    """Σ (2i − n − 1) x_i / (n Σ x) with x ascending and i from 1: 0 is even, (n − 1)/n all on one."""
    n = len(counts)
    ranked = np.sort(counts)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ranked).sum() / (n * counts.sum()))
