"""One score from three sources: the SID beam, the interest vector v_g, and the co-occurrence walk.

    score(item) = w_sid · p_sid(item) + w_interest · p_interest(item) + w_walk · p_walk(item)

a mixture of three distributions over the catalogue. ``p_sid`` is 0 outside the beam, whose least probable item bounds
what is left out. The weights are chosen on validation. The paper ranks by the beam alone (``ranking: beam``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from s2gr.reasoner.decoding import Beam

# The weights tried are multiples of 1 / _STEPS.
_STEPS = 10


@dataclass(frozen=True)
class Weights:
    sid: float
    interest: float
    walk: float


@dataclass(frozen=True)
class Evidence:
    """What the three sources say of every item, for a batch of users: float32 ``[B, items]`` each, rows sum to ≤ 1."""

    sid: Tensor
    interest: Tensor
    walk: Tensor

    def fused(self, weights: Weights) -> Tensor:
        return weights.sid * self.sid + weights.interest * self.interest + weights.walk * self.walk


def beam_probabilities(beam: Beam, items: int) -> Tensor:
    """The beam as a distribution over the catalogue: ``[B, items]``, 0 outside it."""
    found = beam.items >= 0
    dense = torch.zeros(len(beam.items), items, device=beam.items.device)
    return dense.scatter_add_(1, beam.items.clamp_min(0), torch.where(found, beam.scores.exp(), 0.0))


def as_distribution(scores: np.ndarray) -> Tensor:
    """Non-negative scores ``[B, items]`` divided by their sum; rows of zeros stay so."""
    tensor = torch.from_numpy(np.ascontiguousarray(scores, dtype=np.float32))
    return tensor / tensor.sum(1, keepdim=True).clamp_min(1e-12)


def target_ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """How many items score above the target, plus those that tie with it and come first: int64 ``[B]``."""
    own = scores.gather(1, targets[:, None])
    earlier = torch.arange(scores.shape[1], device=scores.device) < targets[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(1)


def choose_weights(batches: Iterable[tuple[Evidence, Tensor]]) -> tuple[Weights, float]:
    """The weights on the simplex's grid with the best NDCG@10 on ``(evidence, targets)`` batches, and that NDCG@10."""
    grid = [
        Weights(sid / _STEPS, interest / _STEPS, (_STEPS - sid - interest) / _STEPS)
        for sid in range(_STEPS + 1)
        for interest in range(_STEPS + 1 - sid)
    ]
    gains, users = torch.zeros(len(grid), dtype=torch.float64), 0
    for evidence, targets in batches:
        users += len(targets)
        for index, weights in enumerate(grid):
            ranks = target_ranks(evidence.fused(weights), targets)
            gains[index] += (1 / torch.log2(ranks.double() + 2))[ranks < 10].sum().cpu()
    best = int(gains.argmax())
    return grid[best], float(gains[best]) / max(users, 1)
