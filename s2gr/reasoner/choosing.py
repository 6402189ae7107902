"""What validation chooses once the network is trained: how the walks go, and what each source weighs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from s2gr.cases import Cases
from s2gr.reasoner.decoding import beam_searches
from s2gr.reasoner.fusion import (
    REPEATS,
    Candidates,
    Fusion,
    beam_probabilities,
    candidates,
    choose_weights,
    ndcg_sum,
)
from s2gr.reasoner.recommender import BEAM, Recommender
from s2gr.training import Row
from s2gr.walk import GRID, GraphWalk, WalkWeights, tie_break

_USERS = 256


def choose_walks(recommender: Recommender, cases: Cases) -> Fusion:
    """The recommender's fusion with the walks of the best validation NDCG@10, each by itself, without seen items.

    One choice serves both filters: over the whole catalogue most of what tells walks apart is how high they rank items
    that the user has met, which the factor for repeats takes care of.
    """
    counts = recommender.counts
    most = max(weights.items for weights in GRID)
    by_popularity = torch.from_numpy(tie_break(counts.popularity))

    def best(steps: sparse.csr_array) -> WalkWeights:
        # A walk is a sum over the items it starts from: those of one item each, without and with the second step, do.
        nothing = np.zeros_like(counts.popularity)
        parts = [GraphWalk(steps, nothing, WalkWeights(items=1, second_step=step)) for step in (0.0, 1.0)]
        gains = dict.fromkeys(GRID, 0.0)
        for batch in cases.batches(_USERS):
            seen, targets = recommender.excluded(batch.seen()), targets_of(recommender, batch)
            of_items = [
                [torch.from_numpy(part.scores(batch.histories, batch.lengths - back)) for part in parts]
                for back in range(most)
            ]
            for weights in GRID:
                scores = torch.zeros_like(of_items[0][0])
                for recency, (once, twice) in zip(weights.recency.tolist(), of_items, strict=False):
                    scores.add_(torch.lerp(once, twice, weights.second_step), alpha=recency)
                scores = scores.add_(by_popularity).to(recommender.device).masked_fill_(seen, -torch.inf)
                gains[weights] += ndcg_sum(scores, targets)
        return max(gains, key=gains.__getitem__)

    return replace(recommender.fusion, walk=best(counts.directed), walk_undirected=best(counts.undirected))


@torch.no_grad()
def choose_fusion(recommender: Recommender, cases: Cases) -> tuple[Fusion, Row]:
    """What the best validation NDCG@10 takes, with and without seen items, and these NDCG@10."""
    everything: dict[float, list[Candidates]] = {factor: [] for factor in REPEATS}
    unseen = []
    for batch in cases.batches(_USERS):
        memory, targets = recommender.encode(batch.histories, batch.lengths), targets_of(recommender, batch)
        met, seen = recommender.met(batch.histories, batch.lengths), recommender.excluded(batch.seen())
        # As both rankings will have it: without seen items the beam is searched among the others, and full.
        beam, beam_unseen = beam_searches(recommender.model, memory, recommender.constraint, BEAM, [None, seen])
        found = recommender.evidence(memory, beam, batch.histories, batch.lengths)
        for factor, kept in everything.items():
            kept.append(candidates(found, targets, met, factor))
        found = replace(found, sid=beam_probabilities(beam_unseen, seen.shape[1]))
        # A repeated target can't be found once the seen items are left out: a miss for every weight alike.
        unseen.append(candidates(found, targets, seen))
    chosen = {factor: choose_weights(kept) for factor, kept in everything.items()}
    # Of equal scores, the factor that changes least.
    repeats = max(chosen, key=lambda factor: chosen[factor][1])
    weights, score = chosen[repeats]
    weights_unseen, score_unseen = choose_weights(unseen)
    scores = {"ndcg@10_fused": score, "ndcg@10_fused_unseen": score_unseen}
    return replace(recommender.fusion, everything=weights, unseen=weights_unseen, repeats=repeats), scores


def targets_of(recommender: Recommender, batch: Cases) -> Tensor:
    """int64 ``[B]``, where the recommender is."""
    return torch.from_numpy(batch.targets).to(recommender.device)
