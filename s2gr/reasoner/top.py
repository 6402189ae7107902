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
        # Several items have the k-th score, and not all of them are in: the first ones by their indices are.
        tied = ((values[:, k - 1] == values[:, k]) & (values[:, k] > -torch.inf)).nonzero()[:, 0]
        values, items, last = values[:, :k], items[:, :k], values[tied, k - 1].unsqueeze(1)
        of_tied = scores[tied]
        above, equal = of_tied > last, of_tied == last
        chosen = above | (equal & (equal.cumsum(1, dtype=torch.int32) <= k - above.sum(1, keepdim=True)))
        items[tied] = chosen.nonzero()[:, 1].view(-1, k)
        values = scores.gather(1, items)
    items, order = items.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, items.gather(1, order).masked_fill(values == -torch.inf, -1)
