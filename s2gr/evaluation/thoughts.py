"""What the network knows before each code, given the true codes before it: accuracy, and how far to trust a thought.

A thought ``t_l`` predicts the cluster of the code to come by ``softmax_k(cos(t_l, c_{l,k}) / τ)``, which is what its
alignment loss trains (docs/method.md §4.3). It is *calibrated* if clusters predicted with probability p are right in a
share p of the cases. The expected calibration error is ``Σ_b n_b/n · |accuracy_b − confidence_b|`` over bins of equal
width of the confidence, the probability of the most probable cluster (Guo et al. 2017).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s2gr.cases import Cases
from s2gr.reasoner.model import S2GR, Memory
from s2gr.reasoner.recommender import Recommender

BINS = 10

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """The cases whose confidence lies in ``(low, high]``."""

    low: float
    high: float
    cases: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Prediction:
    """Of the code or cluster at one level, for each case; both float64 ``[cases]``."""

    confidence: Values  # probability of the most probable one
    right: Values  # 1 where that one is the target's, else 0

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    def reliability(self, bins: int = BINS) -> list[Bin]:
        """The bins that hold cases, least confident first."""
        index = np.clip(np.ceil(self.confidence * bins).astype(int) - 1, 0, bins - 1)
        return [
            Bin(number / bins, (number + 1) / bins, int(inside.sum()), *self._means(inside))
            for number in range(bins)
            if (inside := index == number).any()
        ]

    def calibration_error(self, bins: int = BINS) -> float:
        """The expected calibration error, in [0, 1]."""
        found = self.reliability(bins)
        return sum(each.cases * abs(each.accuracy - each.confidence) for each in found) / len(self.right)

    def _means(self, inside: npt.NDArray[np.bool_]) -> tuple[float, float]:
        return float(self.confidence[inside].mean()), float(self.right[inside].mean())


@dataclass(frozen=True)
class Insight:
    """What the network predicts at each level of the target's semantic ID, given its true codes before."""

    codes: list[Prediction]  # one per level, among the codes with which some item continues
    thoughts: dict[int, Prediction]  # level → the cluster by its last thought, if the model thinks there

    @staticmethod
    def of_all(parts: Sequence[Insight]) -> Insight:
        """Of the cases of all ``parts``, in their order."""
        codes = [_joined(level) for level in zip(*(part.codes for part in parts), strict=True)]
        return Insight(codes, {level: _joined([part.thoughts[level] for part in parts]) for level in parts[0].thoughts})


@torch.no_grad()
def observe(recommender: Recommender, batch: Cases, memory: Memory) -> Insight:
    """Teacher-forced predictions for the targets of ``batch``; ``memory``: its encoded histories."""
    model = recommender.model
    targets = torch.from_numpy(batch.targets).to(model.codes.device)
    own = model.codes[targets]
    decoded = model.decode(memory, targets[:, None])
    following = recommender.constraint.following(decoded.logits[:, 0], targets)
    codes = [_judged(level.log_probabilities.exp(), level.own) for level in following]
    thoughts = {}
    if decoded.thoughts is not None:
        for level, clusters in cluster_probabilities(model, decoded.thoughts[:, 0]).items():
            thoughts[level] = _judged(clusters, model.cluster[level, own[:, level]])
    return Insight(codes, thoughts)


def aligned_levels(model: S2GR) -> list[int]:
    """The levels whose thought was trained to know the cluster of the code to come."""
    return list(model.schedule.aligned) if model.params.alignment else []


def cluster_probabilities(model: S2GR, thoughts: Tensor) -> dict[int, Tensor]:
    """What each aligned level's last thought says of the clusters: ``[N, Kc]`` each, of ``[N, thoughts, D]``."""
    levels = aligned_levels(model)
    if not levels:
        return {}
    probabilities = model.cluster_logits(thoughts).softmax(-1)
    return {level: probabilities[:, index] for index, level in enumerate(levels)}


@torch.no_grad()
def cluster_entropy(recommender: Recommender, cases: Cases, batch_size: int) -> Values:
    """How unsure the thoughts are of the cluster to come, float64 ``[cases]``, given the target's true codes before it.

    The entropy over the Kc clusters as a share of the most possible, ``log Kc``; the mean over the aligned levels.
    """
    model, found = recommender.model, []
    for batch in cases.batches(batch_size):
        memory = recommender.encode(batch.histories, batch.lengths)
        decoded = model.decode(memory, torch.from_numpy(batch.targets).to(model.codes.device)[:, None])
        assert decoded.thoughts is not None  # there are aligned levels
        levels = cluster_probabilities(model, decoded.thoughts[:, 0]).values()
        entropies = [torch.special.entr(each.double()).sum(1) / math.log(each.shape[1]) for each in levels]
        found.append(torch.stack(entropies).mean(0).cpu())
    values: Values = torch.cat(found).numpy() if found else np.zeros(0)
    return values


def _judged(probabilities: Tensor, truth: Tensor) -> Prediction:
    """Of probabilities ``[N, classes]`` and the true classes ``[N]``."""
    confidence, chosen = probabilities.max(1)
    return Prediction(confidence.double().cpu().numpy(), (chosen == truth).double().cpu().numpy())


def _joined(parts: Sequence[Prediction]) -> Prediction:
    return Prediction(
        np.concatenate([part.confidence for part in parts]), np.concatenate([part.right for part in parts])
    )
