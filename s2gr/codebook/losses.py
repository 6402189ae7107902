"""The losses of the code vectors (docs/method.md §2): codebook, commitment, uniformity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from s2gr.codebook.quantizer import Quantized


def codebook_loss(quantized: Quantized) -> Tensor:
    """``Σ_l ‖sg(r_l) − e_l‖²``, the mean over the batch: moves the code vectors towards what they quantise."""
    return (quantized.residuals.detach() - quantized.chosen).square().sum((1, 2)).mean()


def commitment_loss(quantized: Quantized) -> Tensor:
    """``Σ_l ‖r_l − sg(e_l)‖²``, the mean over the batch: moves the encoder towards the code vectors."""
    return (quantized.residuals - quantized.chosen.detach()).square().sum((1, 2)).mean()


def repulsion_radius(vectors: Tensor, margin: float) -> Tensor:
    """δ of each level, ``[L]``: ``margin`` × the median distance between the level's code vectors ``[L, K, D]``."""
    return torch.stack([margin * functional.pdist(level.detach()).median() for level in vectors])


def uniformity_loss(vectors: Tensor, radius: Tensor) -> Tensor:
    """``1/(K(K−1)) Σ_{i≠j} max(0, δ_l − ‖e_i − e_j‖)²``, the mean over levels.

    The form is ours (the paper gives none). ``vectors``: ``[L, K, D]``; ``radius``: δ_l ``[L]``, without a gradient.
    """
    levels, size, _ = vectors.shape
    # Pairs beyond the radius add nothing, to the value as to the gradient; most are. A pair that rounding puts on the
    # wrong side of it adds next to nothing.
    with torch.no_grad():
        norms = vectors.square().sum(2)
        squared = torch.baddbmm(norms[:, :, None] + norms[:, None, :], vectors, vectors.transpose(1, 2), alpha=-2)
        level, first, second = torch.triu(squared < radius.square()[:, None, None], diagonal=1).nonzero(as_tuple=True)
    # The floor keeps the gradient of two equal vectors finite: zero.
    distance = (vectors[level, first] - vectors[level, second]).square().sum(1).clamp_min(1e-24).sqrt()
    # Each pair is held once, the formula has it twice.
    return 2 * (radius[level] - distance).clamp_min(0).square().sum() / (levels * size * (size - 1))
