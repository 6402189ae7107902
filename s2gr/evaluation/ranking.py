"""Top-k lists of every system for the same cases, under both filters, and where the target stands in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s2gr.metrics import Ranks, ranks_in_list
from s2gr.reasoner.top import top_items

Items = npt.NDArray[np.int64]
# Suffix of a system's name in the report → `filter` in ranking.csv.
FILTERS = {"": "none", "_seen_filtered": "seen"}
# The best items of a batch, int64 [B, k], under each filter.
Lists = Mapping[str, Items]


@dataclass(frozen=True)
class Ranked:
    """What one system recommends for all cases, under each filter."""

    # int64 [cases, k], best first; −1 fills up a list that is shorter.
    lists: Mapping[str, Items]
    # int64 [cases]: the target's place, NOT_RANKED where the list does not hold it.
    ranks: Mapping[str, Ranks]

    def take(self, rows: npt.NDArray[np.integer]) -> Ranked:
        """The same for the cases at ``rows``."""
        return Ranked(
            {suffix: lists[rows] for suffix, lists in self.lists.items()},
            {suffix: ranks[rows] for suffix, ranks in self.ranks.items()},
        )


def ranked(batches: Iterable[Lists], targets: Items) -> Ranked:
    """The lists of all batches, in order, with the ranks of ``targets`` ``[cases]``."""
    parts = list(batches)
    lists = {suffix: np.concatenate([part[suffix] for part in parts]) for suffix in FILTERS}
    return Ranked(lists, {suffix: ranks_in_list(found, targets) for suffix, found in lists.items()})


def top_lists(scores: npt.NDArray[np.float32], seen: Tensor, k: int) -> Lists:
    """The best ``k`` items by ``scores`` ``[B, items]``, equal scores by item; overwrites the scores of seen items.

    Args:
        seen: bool ``[B, items]``, what each user met before the target.
    """
    tensor = torch.from_numpy(scores)
    everything = top_items(tensor, k)[1].numpy()
    unseen = top_items(tensor.masked_fill_(seen, -torch.inf), k)[1].numpy()
    return dict(zip(FILTERS, (everything, unseen), strict=True))
