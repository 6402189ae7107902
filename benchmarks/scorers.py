"""Whatever scores the whole catalogue for a history, ranked as the evaluation ranks."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from s2gr.cases import Cases
from s2gr.evaluation.ranking import Items, Ranked, ranked, top_lists
from s2gr.reasoner.top import item_mask

_BATCH = 256


class Scorer(Protocol):
    """Anything that scores the whole catalogue for a batch of histories."""

    def scores(self, histories: Items, lengths: Items) -> npt.NDArray[np.float32]:
        """Float32 ``[batch, items]``, higher is better; the caller may write into it."""
        ...


def rank_scorer(scorer: Scorer, cases: Cases, k: int) -> Ranked:
    """Rank all cases by one scorer."""
    found = []
    for batch in cases.batches(_BATCH):
        scores = scorer.scores(batch.histories, batch.lengths)
        found.append(top_lists(scores, item_mask(batch.seen(), scores.shape[1]), k))
    return ranked(found, cases.targets)
