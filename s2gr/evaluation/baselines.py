"""Controls without training: popularity here, the graph walk in :mod:`s2gr.walk`; and how scores become ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from s2gr.cases import Cases
from s2gr.evaluation.metrics import Ranks, ranks_by_score
from s2gr.sequences import Sequences


class Scorer(Protocol):
    """Anything that scores the whole catalogue for a batch of histories."""

    def scores(self, histories: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Float32 ``[batch, items]``, higher is better."""
        ...


class Popularity:
    """Every user gets the items with the most training events; ties go by item index."""

    def __init__(self, sequences: Sequences) -> None:
        counts = np.bincount(sequences.training().items, minlength=sequences.n_items)
        self._counts = counts.astype(np.float32)

    def scores(self, histories: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return np.tile(self._counts, (len(histories), 1))


@dataclass(frozen=True)
class RankPair:
    """The targets' ranks in the whole catalogue, and among the items the user has not seen: int64 ``[cases]`` each."""

    everything: Ranks
    unseen: Ranks


def rank_targets(scorer: Scorer, cases: Cases, batch_size: int, advance: Callable[[int], None]) -> RankPair:
    """Score the catalogue once per case and rank the target with and without the seen filter.

    Args:
        advance: called with the number of cases of each finished batch.
    """
    everything, unseen = [], []
    for batch in cases.batches(batch_size):
        scores = scorer.scores(batch.histories, batch.lengths)
        everything.append(ranks_by_score(scores, batch.targets))
        scores[np.repeat(np.arange(len(batch)), np.diff(batch.seen_offsets)), batch.seen_items] = -np.inf
        unseen.append(ranks_by_score(scores, batch.targets))
        advance(len(batch))
    return RankPair(np.concatenate(everything), np.concatenate(unseen))
