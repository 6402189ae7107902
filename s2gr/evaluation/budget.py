"""What one recommendation costs, in operations: the same on every machine."""

from __future__ import annotations

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from s2gr.cases import Cases
from s2gr.reasoner.recommender import Recommender

# Users whose operations are counted.
_USERS = 64


def inference_flops(recommender: Recommender, cases: Cases, beam: int) -> float:
    """Floating-point operations of the network's matrix products, for ranking the catalogue for one user.

    A multiplication and an addition count as two. Lookups, normalisations, the trie and the walks are not counted.
    """
    few = cases.take(np.arange(min(_USERS, len(cases))))
    with FlopCounterMode(display=False) as counter:
        recommender.rankings(few.histories, few.lengths, 10, beam)
    return counter.get_total_flops() / len(few)
