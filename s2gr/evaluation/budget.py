"""What one recommendation costs, in operations: the same on every machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from s2gr.cases import Cases
from s2gr.reasoner.recommender import Recommender

# Users whose operations are counted, and how many of them are ranked at a time.
_USERS, _TOGETHER = 64, 8


def inference_flops(recommender: Recommender, cases: Cases, beam: int) -> float:
    """:func:`flops_per_user` of ranking the catalogue by all of the network's rankings."""
    return flops_per_user(lambda batch: recommender.rankings(batch.histories, batch.lengths, 10, beam), cases)


def flops_per_user(rank: Callable[[Cases], object], cases: Cases) -> float:
    """Floating-point operations of the matrix products in ``rank(batch)``, for one user.

    A multiplication and an addition count as two. Lookups, normalisations, the trie and the walks are not counted.

    Args:
        cases: by length; a few of every length are ranked, similar ones together, as the evaluation ranks them.
    """
    few = cases.take(np.unique(np.linspace(0, len(cases) - 1, _USERS).astype(np.int64)))
    with FlopCounterMode(display=False) as counter:
        for batch in few.batches(_TOGETHER):
            rank(batch)
    return counter.get_total_flops() / len(few)
