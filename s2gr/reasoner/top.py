"""The best k of many scores, equal scores by index: a ranking that is the same on every machine."""

from __future__ import annotations

import torch
from torch import Tensor


def top_items(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` highest scores of each row and where they stand.

    ``torch.topk`` leaves open which of equal scores it returns, and in which order.

    Args:
        scores: ``[B, items]``; −∞ takes an item out of the ranking.
        k: at most ``items`` of them are returned.

    Returns: scores ``[B, k]``, highest first, and int64 items ``[B, k]``, −1 where a row holds fewer than ``k``.
    """
    width = min(k + 1, scores.shape[1])
    values, items = scores.topk(width, dim=1)
    if width > k:
        # Which of the items with the k-th score are in depends on their indices: such rows are sorted whole.
        tied = ((values[:, k - 1] == values[:, k]) & (values[:, k] > -torch.inf)).nonzero()[:, 0]
        if len(tied):
            ordered = scores[tied].sort(dim=1, descending=True, stable=True)
            values[tied], items[tied] = ordered.values[:, :width], ordered.indices[:, :width]
    items, order = items.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    items = items.gather(1, order).masked_fill(values == -torch.inf, -1)
    return values[:, :k], items[:, :k]
