"""Item-level Recall@K, NDCG@K and MRR@K with one target per case, from the target's rank.

A rank is the number of items ranked before the target, 0 at the top. Where items share a semantic ID, a ranking of IDs
orders groups, not items; the target then stands at an unknown place within its group, and the metrics are expectations
over that place: ``ItemHit@K = min(g, max(0, K − P)) / g`` with g the group's size and P the items in groups before it
(docs/method.md, §6). Counting a hit on the ID as a hit on the item would inflate the figures.
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


def hits(ranks: Ranks, k: int, group_sizes: Ranks | int = 1) -> Values:
    """Recall@K of each case, float64 ``[cases]``.

    Args:
        ranks: ``[cases]``, the items ranked before the target, or before its group.
        group_sizes: ``[cases]``, how many items share the target's place; 1 unless semantic IDs are shared.
    """
    return np.clip(k - ranks, 0, group_sizes) / np.asarray(group_sizes, np.float64)


def gains(ranks: Ranks, k: int, group_sizes: Ranks | int = 1) -> Values:
    """NDCG@K of each case, float64 ``[cases]``: with one target the ideal is 1, so it is ``1 / log2(rank + 2)``.

    With ``group_sizes``, the mean of this over the places that the group takes.
    """
    return _mean_discount(1.0 / np.log2(np.arange(k) + 2.0), ranks, group_sizes)


def reciprocals(ranks: Ranks, k: int, group_sizes: Ranks | int = 1) -> Values:
    """MRR@K of each case, float64 ``[cases]``: ``1 / (rank + 1)`` within the first K; groups as in :func:`gains`."""
    return _mean_discount(1.0 / (np.arange(k) + 1.0), ranks, group_sizes)


def _mean_discount(discounts: npt.NDArray[np.floating], ranks: Ranks, group_sizes: Ranks | int) -> Values:
    """The mean of ``discounts`` ``[k]`` over the places that a target's group takes, 0 behind the last of them."""
    k = len(discounts)
    # cumulative[i]: sum of the discounts of the first i places.
    cumulative = np.concatenate([[0.0], np.cumsum(discounts)])
    first = np.minimum(ranks, k)
    last = np.minimum(ranks + group_sizes, k)
    return (cumulative[last] - cumulative[first]) / np.asarray(group_sizes, np.float64)


def summarise(ranks: Ranks, ks: Sequence[int]) -> dict[str, float]:
    """``recall@k``, ``ndcg@k`` and ``mrr@k`` over all cases, for each k, rounded to 6 digits."""
    summary: dict[str, float] = {}
    for k in ks:
        summary[f"recall@{k}"] = round(float(hits(ranks, k).mean()), 6)
        summary[f"ndcg@{k}"] = round(float(gains(ranks, k).mean()), 6)
        summary[f"mrr@{k}"] = round(float(reciprocals(ranks, k).mean()), 6)
    return summary
