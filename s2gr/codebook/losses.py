"""The losses of the code vectors (docs/method.md §2): codebook, commitment, uniformity.

Straight-through estimation, codebook and commitment loss share one backward pass, written out: it is a few sums over
what quantisation leaves, and keeps no intermediate of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Pairs of code vectors are looked up once an epoch, with room for what may come nearer meanwhile.
_ROOM = 1.25


class StraightThrough(torch.autograd.Function):
    """``(rounded, codebook, commitment) = apply(latent, vectors, codes, left)``.

    - ``rounded = Σ_l e_l``, whose gradient reaches ``latent`` as if nothing had been rounded;
    - ``codebook = mean_B Σ_l ‖sg(r_l) − e_l‖²``, which moves the code vectors towards what they quantise;
    - ``commitment = mean_B Σ_l ‖r_l − sg(e_l)‖²``, the same value, which moves the encoder towards the code vectors.

    Args:
        latent: ``[B, D]``; vectors: ``[L, K, D]``.
        codes, left: what :meth:`ResidualQuantizer.trace` returned: int64 ``[B, L]``, and ``[L, B, D]``: ``r_l − e_l``.
    """

    @staticmethod
    def forward(
        ctx: Any, latent: Tensor, vectors: Tensor, codes: Tensor, left: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(codes, left)
        ctx.shape = vectors.shape
        error = left.square().sum() / len(latent)
        return latent - left[-1], error, error.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        codes, left = ctx.saved_tensors
        levels, size, dim = ctx.shape
        rounded, codebook, commitment = gradients
        # d left_l / d latent = 1 at every level; d left_l / d e_l = −1, its own level only.
        latent = torch.addcmul(rounded, left.sum(0), commitment * (2 / len(codes)))
        if not ctx.needs_input_grad[1]:
            return latent, None, None, None
        rows = (codes.T + size * torch.arange(levels, device=codes.device)[:, None]).reshape(-1)
        vectors = left.new_zeros(levels * size, dim).index_add_(0, rows, left.reshape(-1, dim))
        return latent, vectors.mul_(codebook * (-2 / len(codes))).view(levels, size, dim), None, None


@dataclass(frozen=True)
class Neighbours:
    """Pairs of code vectors of one level that are near each other, or may come to be."""

    level: Tensor  # int64 [P]
    first: Tensor  # int64 [P]
    second: Tensor  # int64 [P]
    radius: Tensor  # [P]: δ of the pair's level


def neighbours(vectors: Tensor, margin: float) -> Neighbours:
    """The pairs of ``[L, K, D]`` nearer than 1.25 δ_l, with δ_l = ``margin`` × the median distance in level l."""
    size = vectors.shape[1]
    first, second = torch.triu_indices(size, size, 1, device=vectors.device)
    distances = torch.stack([functional.pdist(level.detach()) for level in vectors])
    # Level by level: `median(1)` finds indices too, for which a GPU has no deterministic way.
    radius = margin * torch.stack([level.median() for level in distances])
    level, pair = (distances < _ROOM * radius[:, None]).nonzero(as_tuple=True)
    return Neighbours(level, first[pair], second[pair], radius[level])


def uniformity_loss(vectors: Tensor, pairs: Neighbours) -> Tensor:
    """``1/(K(K−1)) Σ_{i≠j} max(0, δ_l − ‖e_i − e_j‖)²``, the mean over levels; δ_l carries no gradient.

    The form is ours (the paper gives none). ``vectors``: ``[L, K, D]``; a pair that is not among ``pairs`` counts as
    farther apart than δ.
    """
    levels, size, _ = vectors.shape
    distance = (vectors[pairs.level, pairs.first] - vectors[pairs.level, pairs.second]).square().sum(1)
    # The floor keeps the gradient of two equal vectors finite: zero.
    hinge = (pairs.radius - distance.clamp_min(1e-24).sqrt()).clamp_min(0)
    # Each pair is held once, the formula has it twice.
    return 2 * hinge.square().sum() / (levels * size * (size - 1))
