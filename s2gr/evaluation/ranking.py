"""Top-k lists of every system for the same cases, under both filters, and where the target stands in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s2gr.cases import Cases
from s2gr.metrics import Ranks, ranks_in_list
from s2gr.reasoner.top import top_items

Items = npt.NDArray[np.int64]
# Suffix of a system's name in the report → `filter` in ranking.csv.
FILTERS = {"": "none", "_seen_filtered": "seen"}
# The best items of a batch, int64 [B, k], under each filter.
Lists = Mapping[str, Items]


class Scorer(Protocol):
    """Anything that scores the whole catalogue for a batch of histories."""

    def scores(self, histories: Items, lengths: Items) -> npt.NDArray[np.float32]:
        """Float32 ``[batch, items]``, higher is better; the caller may write into it."""
        ...


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


def seen_mask(batch: Cases, items: int) -> Tensor:
    """Bool ``[B, items]``: what each user met before the target."""
    mask = torch.zeros(len(batch), items, dtype=torch.bool)
    rows = np.repeat(np.arange(len(batch)), np.diff(batch.seen_offsets))
    mask[torch.from_numpy(rows), torch.from_numpy(batch.seen_items)] = True
    return mask


def top_lists(scores: npt.NDArray[np.float32], seen: Tensor, k: int) -> Lists:
    """The best ``k`` items by ``scores`` ``[B, items]``, equal scores by item; overwrites the scores of seen items."""
    tensor = torch.from_numpy(scores)
    everything = top_items(tensor, k)[1].numpy()
    unseen = top_items(tensor.masked_fill_(seen, -torch.inf), k)[1].numpy()
    return dict(zip(FILTERS, (everything, unseen), strict=True))


def rank_scorer(
    scorer: Scorer, cases: Cases, k: int, batch_size: int = 256, advance: Callable[[int], None] = lambda cases: None
) -> Ranked:
    """Rank all cases by one scorer.

    Args:
        advance: called with the number of cases of each finished batch.
    """
    found = []
    for batch in cases.batches(batch_size):
        scores = scorer.scores(batch.histories, batch.lengths)
        found.append(top_lists(scores, seen_mask(batch, scores.shape[1]), k))
        advance(len(batch))
    return ranked(found, cases.targets)
