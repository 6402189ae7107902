"""Baselines tuned as S²GR's own mixture is: for each filter by itself, on validation, with a factor for repeats.

The walk's weights, SASRec's share in a mixture with it, and what the scores of items in the history are multiplied by
where the whole catalogue is ranked: no baseline is left at somebody's defaults, and none is without what S²GR has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.scorers import Scorer, rank_scorer
from s2gr.cases import Cases
from s2gr.evaluation.ranking import FILTERS, Ranked
from s2gr.reasoner.fusion import REPEATS, ndcg_sum
from s2gr.walk import GRID, GraphWalk, WalkCounts

Scores = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

# Shares of the network's distribution in the mixture, the rest is the walk's.
MIX = (*(step / 10 for step in range(1, 10)), 0.95)
Key = TypeVar("Key")


@dataclass(frozen=True)
class Damped:
    """A scorer's scores, those of items in the history times ``factor``."""

    scorer: Scorer
    factor: float

    def scores(self, histories: Integers, lengths: Integers) -> Scores:
        return damped(self.scorer.scores(histories, lengths), histories, self.factor)


@dataclass(frozen=True)
class Mixture:
    """``share · the network's distribution + (1 − share) · the walk's``."""

    network: Scorer
    walk: Scorer
    share: float

    def scores(self, histories: Integers, lengths: Integers) -> Scores:
        return mixed(self.network.scores(histories, lengths), self.walk.scores(histories, lengths), self.share)


@dataclass(frozen=True)
class Choice:
    """What validation chose for one filter; with a filter the factor for repeats is 1, as none are left."""

    scorer: Scorer
    factor: float
    told: Mapping[str, Any]


def damped(scores: Scores, histories: Integers, factor: float) -> Scores:
    """A copy of ``scores`` ``[batch, items]`` with those of the items in ``histories`` times ``factor``."""
    found = scores.copy()
    rows, columns = np.nonzero(histories >= 0)
    items = histories[rows, columns]
    found[rows, items] = scores[rows, items] * np.float32(factor)
    return found


def mixed(network: Scores, walked: Scores, share: float) -> Scores:
    return share * network + (1 - share) / walked.sum(1, keepdims=True) * walked


def tuned_walks(counts: WalkCounts, cases: Cases) -> dict[str, dict[str, Choice]]:
    """Kind of walk → filter → the weights, and without a filter the factor, that rank ``cases`` best."""
    found = {}
    for kind in ("directed", "undirected"):
        walks = {index: GraphWalk(getattr(counts, kind), counts.popularity, each) for index, each in enumerate(GRID)}

        def scored(batch: Cases, walks: Mapping[int, GraphWalk] = walks) -> Iterator[tuple[int, str, Scores]]:
            for index, walk in walks.items():
                scores = walk.scores(batch.histories, batch.lengths)
                for suffix in FILTERS:
                    yield index, suffix, scores

        chosen = _best(scored, cases)
        found[kind] = {
            suffix: Choice(walks[index], factor, asdict(GRID[index]) | {"factor_for_repeats": factor})
            for suffix, (index, factor) in chosen.items()
        }
    return found


def tuned_mixture(network: Scorer, walks: Mapping[str, Mapping[str, Choice]], cases: Cases) -> dict[str, Choice]:
    """Filter → the walk, the share, and without a filter the factor, that rank ``cases`` best."""

    def scored(batch: Cases) -> Iterator[tuple[tuple[str, float], str, Scores]]:
        distribution = network.scores(batch.histories, batch.lengths)
        for kind, suffix in product(walks, FILTERS):
            walked = walks[kind][suffix].scorer.scores(batch.histories, batch.lengths)
            for share in MIX:
                yield (kind, share), suffix, mixed(distribution, walked, share)

    return {
        suffix: Choice(
            Mixture(network, walks[kind][suffix].scorer, share),
            factor,
            {"share": share, "walk": kind, "factor_for_repeats": factor},
        )
        for suffix, ((kind, share), factor) in _best(scored, cases).items()
    }


def rank_chosen(choices: Mapping[str, Choice], cases: Cases, k: int) -> Ranked:
    """Under each filter what was chosen for it."""
    lists, ranks = {}, {}
    for suffix, choice in choices.items():
        found = rank_scorer(Damped(choice.scorer, choice.factor), cases, k)
        lists[suffix], ranks[suffix] = found.lists[suffix], found.ranks[suffix]
    return Ranked(lists, ranks)


def _best(scored: Callable[[Cases], Iterable[tuple[Key, str, Scores]]], cases: Cases) -> dict[str, tuple[Key, float]]:
    """For each filter the candidate and the factor for repeats with the best NDCG@10; of equals the first."""
    found: dict[tuple[str, Key, float], float] = defaultdict(float)
    for batch in cases.batches(256):
        targets = torch.from_numpy(batch.targets)
        seen = (np.repeat(np.arange(len(batch)), np.diff(batch.seen_offsets)), batch.seen_items)
        for key, suffix, scores in scored(batch):
            if suffix:
                unseen = scores.copy()
                unseen[seen] = -np.inf
                found[suffix, key, 1.0] += ndcg_sum(torch.from_numpy(unseen), targets)
                continue
            for factor in REPEATS:
                scaled = damped(scores, batch.histories, factor)
                found[suffix, key, factor] += ndcg_sum(torch.from_numpy(scaled), targets)
    best = {suffix: max((key for key in found if key[0] == suffix), key=found.__getitem__) for suffix in FILTERS}
    return {suffix: (key, factor) for suffix, (_, key, factor) in best.items()}
