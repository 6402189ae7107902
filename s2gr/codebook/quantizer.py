"""Residual quantisation with a usage-balanced choice of codes (CoBa; docs/method.md §2).

A vector is approximated by the sum of one code vector per level; each level quantises what the levels before left over.
Tensors: ``B`` vectors, ``L`` levels, ``K`` codes, ``D`` latent dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

# How much of the old usage count an epoch-independent step keeps.
_USAGE_DECAY = 0.99


@dataclass(frozen=True)
class Quantized:
    """The result of residual quantisation."""

    codes: Tensor  # int64 [B, L]
    residuals: Tensor  # [B, L, D]: what each level was given to quantise
    chosen: Tensor  # [B, L, D]: the code vectors chosen


class ResidualQuantizer(nn.Module):
    """``L`` codebooks of ``K`` vectors of width ``D``, and their running usage.

    Args:
        balance: γ of the selection distance ``‖r − e_j‖² · (1 + clip(γ(n_j/n̄ − 1), −c, c))``; 0 is plain nearest.
        balance_clip: c.
    """

    usage: Tensor

    def __init__(self, levels: int, codes: int, dim: int, balance: float, balance_clip: float) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(levels, codes, dim) / dim**0.5)
        # EMA counts n_j, as multiples of their mean n̄.
        self.register_buffer("usage", torch.ones(levels, codes))
        self.balance, self.balance_clip = balance, balance_clip

    def forward(self, latent: Tensor, balanced: bool) -> Quantized:
        """Quantise ``[B, D]`` greedily, level by level; no gradient flows through the choice."""
        residual, codes, residuals, chosen = latent, [], [], []
        for level in range(len(self.vectors)):
            code = self.nearest(residual.detach(), level, balanced)
            vector = self.vectors[level][code]
            codes.append(code)
            residuals.append(residual)
            chosen.append(vector)
            # The codebook's gradient comes from its own loss, not through later levels.
            residual = residual - vector.detach()
        return Quantized(torch.stack(codes, 1), torch.stack(residuals, 1), torch.stack(chosen, 1))

    @torch.no_grad()
    def nearest(self, residual: Tensor, level: int, balanced: bool) -> Tensor:
        """The code of ``level`` for each row of ``[B, D]``: int64 ``[B]``."""
        distance = squared_distances(residual, self.vectors[level])
        if balanced and self.balance:
            distance = distance * self.balance_factor(level)
        return distance.argmin(1)

    def balance_factor(self, level: int) -> Tensor:
        """``1 + clip(γ(n_j/n̄ − 1), −c, c)`` for each code: ``[K]``; above 1 the code looks farther away."""
        correction = self.balance * (self.usage[level] - 1)
        return 1 + correction.clamp(-self.balance_clip, self.balance_clip)

    @torch.no_grad()
    def count(self, codes: Tensor) -> None:
        """Move the running usage towards that of one batch of codes ``[B, L]``."""
        levels, size = self.usage.shape
        for level in range(levels):
            share = torch.bincount(codes[:, level], minlength=size).to(self.usage) * (size / len(codes))
            self.usage[level].lerp_(share, 1 - _USAGE_DECAY)

    @torch.no_grad()
    def revive(self, residuals: Tensor, codes: Tensor, generator: torch.Generator) -> int:
        """Put codes that no row chose onto randomly drawn residuals ``[N, L, D]``; how many were dead."""
        revived = 0
        for level in range(len(self.vectors)):
            counts = torch.bincount(codes[:, level], minlength=self.vectors.shape[1])
            dead = torch.nonzero(counts == 0).squeeze(1)
            if len(dead):
                rows = torch.randint(len(residuals), (len(dead),), generator=generator)
                self.vectors[level, dead] = residuals[rows, level]
                self.usage[level, dead] = 1.0
                revived += len(dead)
        return revived


def squared_distances(rows: Tensor, vectors: Tensor) -> Tensor:
    """``‖r − e‖²`` of every row ``[B, D]`` to every vector ``[K, D]``: ``[B, K]``, never negative."""
    cross = torch.addmm(vectors.square().sum(1), rows, vectors.T, alpha=-2)
    return (cross + rows.square().sum(1, keepdim=True)).clamp_min_(0)


def commitment_loss(quantized: Quantized, commitment: float) -> tuple[Tensor, Tensor]:
    """``Σ_l ‖sg(r_l) − e_l‖²`` (moves the codes) and ``β Σ_l ‖r_l − sg(e_l)‖²`` (moves the encoder), batch means."""
    codebook = (quantized.residuals.detach() - quantized.chosen).square().sum((1, 2)).mean()
    encoder = (quantized.residuals - quantized.chosen.detach()).square().sum((1, 2)).mean()
    return codebook, commitment * encoder


def uniformity_loss(vectors: Tensor, margin: float) -> Tensor:
    """``1/(K(K−1)) Σ_{i≠j} max(0, δ − ‖e_i − e_j‖)²``, δ = ``margin`` × the median distance; the mean over levels.

    The form is ours (the paper gives none). ``vectors``: ``[L, K, D]``. δ carries no gradient.
    """
    losses = []
    for level in vectors:
        distance = functional.pdist(level)
        delta = margin * distance.detach().median()
        # pdist holds each pair once, the formula twice.
        losses.append(2 * (delta - distance).clamp_min(0).square().sum() / (len(level) * (len(level) - 1)))
    return torch.stack(losses).mean()
