"""One score from four sources: the SID beam, the interest vector v_g, and two walks over co-occurrence counts.

    score(item) = Σ_source w_source · p_source(item)

a mixture of distributions over the catalogue. ``p_sid`` is 0 outside the beam, whose least probable item bounds what is
left out. The weights are chosen on validation, once for ranking the whole catalogue and once for ranking what the user
has not seen: repeats are most of what the directed walk knows. The paper ranks by the beam alone (``ranking: beam``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, field
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2gr.metrics import NOT_RANKED, gains
from s2gr.reasoner.decoding import Beam
from s2gr.walk import WalkWeights

# The weights tried are multiples of 1 / _STEPS.
_STEPS = 10
# The factors tried for items that the user has met.
REPEATS = (1.0, 0.5, 0.25, 0.1, 0.0)


@dataclass(frozen=True)
class Weights:
    """Of each source; they sum to one."""

    sid: float = 1.0
    interest: float = 0.0
    walk: float = 0.0
    walk_undirected: float = 0.0


@dataclass(frozen=True)
class Fusion:
    """The weights with and without the items that the user has seen, and how the walks that they weigh go."""

    everything: Weights = Weights()
    unseen: Weights = Weights()
    # What the score of an item in the history is multiplied by where the whole catalogue is ranked: networks that read
    # and predict with the same embeddings rank the last items high, even if nobody ever takes an item twice.
    repeats: float = 1.0
    walk: WalkWeights = field(default_factory=WalkWeights)
    walk_undirected: WalkWeights = field(default_factory=WalkWeights)

    @property
    def reads_beam(self) -> bool:
        """Whether the SID beam has a weight."""
        return bool(self.everything.sid or self.unseen.sid)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def of(told: dict[str, Any]) -> Fusion:
        walks = (WalkWeights(**told[name]) for name in ("walk", "walk_undirected"))
        return Fusion(Weights(**told["everything"]), Weights(**told["unseen"]), told["repeats"], *walks)


@dataclass(frozen=True)
class Evidence:
    """What the sources say of every item, for a batch of users: float32 ``[B, items]`` each, rows sum to ≤ 1."""

    sid: Tensor
    interest: Tensor
    walk: Tensor
    walk_undirected: Tensor

    def fused(self, weights: Weights) -> Tensor:
        """The mixture, ``[B, items]``."""
        sources = (self.sid, self.interest, self.walk, self.walk_undirected)
        first, *others = [(weight, source) for weight, source in zip(astuple(weights), sources, strict=True) if weight]
        mixture = first[0] * first[1]
        for weight, source in others:
            mixture.add_(source, alpha=weight)
        return mixture


def beam_probabilities(beam: Beam, items: int) -> Tensor:
    """The beam as a distribution over the catalogue: ``[B, items]``, 0 outside it."""
    found = beam.items >= 0
    dense = torch.zeros(len(beam.items), items, device=beam.items.device)
    return dense.scatter_add_(1, beam.items.clamp_min(0), torch.where(found, beam.scores.exp(), 0.0))


def as_distribution(scores: np.ndarray) -> Tensor:
    """Non-negative scores ``[B, items]`` divided by their sum; rows of zeros stay so."""
    tensor = torch.from_numpy(np.ascontiguousarray(scores, dtype=np.float32))
    return tensor / tensor.sum(1, keepdim=True).clamp_min(1e-12)


def ndcg_sum(scores: Tensor, targets: Tensor, k: int = 10) -> float:
    """Σ NDCG@k over a batch of scores ``[B, items]``, equal scores by item; a target that scores 0 is not ranked."""
    return _gain(scores, torch.arange(scores.shape[1], device=scores.device), targets[:, None], k)


def _gain(scores: Tensor, items: Tensor, target: Tensor, k: int) -> float:
    """The same where column c is ``items[..., c]``; ``target`` ``[B, 1]`` is one of them."""
    own = scores.masked_fill(items != target, -torch.inf).amax(1, keepdim=True)
    ranks = ((scores > own) | ((scores == own) & (items < target))).sum(1)
    ranks = ranks.masked_fill(own[:, 0] <= 0, NOT_RANKED)
    return float(gains(ranks.cpu().numpy(), k).sum())


@dataclass(frozen=True)
class Candidates:
    """The items of a batch that can be among the ten best of a mixture, and what each source says of them."""

    evidence: Evidence  # [B, M]
    items: Tensor  # int64 [B, M], distinct in a row but for columns that every source scores −1
    targets: Tensor  # int64 [B]


def candidates(
    evidence: Evidence, targets: Tensor, met: Tensor | None = None, factor: float = 0.0, top: int = 64
) -> Candidates:
    """The target and the best ``top`` items of each source, which is all that the choice of weights looks at.

    Args:
        met: bool ``[B, items]``; what is said of these items is multiplied by ``factor``.
    """
    sources = [evidence.sid, evidence.interest, evidence.walk, evidence.walk_undirected]
    if met is not None:
        scale = torch.where(met, factor, 1.0)
        sources = [source * scale for source in sources]
    best = [source.topk(min(top, source.shape[1]), dim=1).indices for source in sources]
    items = torch.cat([targets[:, None], *best], 1)
    # An item that two sources bring counts once: its later columns score −1.
    ordered, order = items.sort(dim=1, stable=True)
    repeated = torch.zeros_like(items, dtype=torch.bool)
    repeated.scatter_(1, order[:, 1:], ordered[:, 1:] == ordered[:, :-1])
    kept = [source.gather(1, items).masked_fill(repeated, -1.0) for source in sources]
    return Candidates(Evidence(*kept), items, targets)


def choose_weights(batches: Sequence[Candidates]) -> tuple[Weights, float]:
    """The weights on the simplex's grid with the best NDCG@10, and that NDCG@10."""
    users = sum(len(batch.targets) for batch in batches)
    best, best_gain = Weights(), -1.0
    for weights in _grid():
        gain = sum(_gain(batch.evidence.fused(weights), batch.items, batch.targets[:, None], 10) for batch in batches)
        if gain > best_gain:
            best, best_gain = weights, gain
    return best, best_gain / max(users, 1)


def _grid() -> Iterator[Weights]:
    for sid, interest, walk in product(range(_STEPS + 1), repeat=3):
        rest = _STEPS - sid - interest - walk
        if rest >= 0:
            yield Weights(sid / _STEPS, interest / _STEPS, walk / _STEPS, rest / _STEPS)
