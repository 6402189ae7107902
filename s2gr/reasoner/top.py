"""The best k of many scores, equal scores by index: a ranking that is the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Scores are looked at in pieces of this size.
_PIECE = 64


def top_items(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` highest scores of each row and where they stand.

    ``torch.topk`` leaves open which of equal scores it returns, and in which order.

    Args:
        scores: ``[B, items]``; −∞ takes an item out of the ranking.
        k: at most ``items`` of them are returned.

    Returns: scores ``[B, k]``, highest first, and int64 items ``[B, k]``, −1 where a row holds fewer than ``k``.
    """
    width = min(k + 1, scores.shape[1])
    values, items = _largest(scores, width)
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


def item_mask(rows: Sequence[npt.NDArray[np.integer]], items: int) -> Tensor:
    """Bool ``[B, items]``: for each user true at the items that ``rows`` lists."""
    mask = torch.zeros(len(rows), items, dtype=torch.bool)
    users = np.repeat(np.arange(len(rows)), [len(listed) for listed in rows])
    mask[torch.from_numpy(users), torch.from_numpy(np.concatenate(rows).astype(np.int64))] = True
    return mask


def _largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """``scores.topk(k)`` in half the time: the k highest scores lie in the k pieces with the highest maxima."""
    pieces = scores.shape[1] // _PIECE
    if pieces < 4 * k:
        return scores.topk(k, dim=1)
    whole = pieces * _PIECE
    body = scores[:, :whole].unflatten(1, (pieces, _PIECE))
    chosen = body.amax(2).topk(k, dim=1).indices
    kept = body.gather(1, chosen.unsqueeze(2).expand(-1, -1, _PIECE)).flatten(1)
    values, place = torch.cat([kept, scores[:, whole:]], 1).topk(k, dim=1)
    piece, offset = place // _PIECE, place % _PIECE
    inside = chosen.gather(1, piece.clamp_max(k - 1)) * _PIECE + offset
    return values, torch.where(piece < k, inside, place - kept.shape[1] + whole)
