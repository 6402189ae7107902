"""Residual k-means on the aligned embeddings themselves: no network, latent space = (standardised) embedding space."""

from __future__ import annotations

import torch
from torch import nn

from s2gr.codebook.kmeans import residual_kmeans, sample_rows
from s2gr.codebook.model import ResidualCodebook
from s2gr.embeddings import Matrix
from s2gr.params import Codebook
from s2gr.training import Row

# Lloyd stands still long before.
_ITERATIONS = 300


class RQKMeans(ResidualCodebook):
    """Each level holds the k-means centres of what the levels before left over; encoder and decoder are identities."""

    def __init__(self, input_dim: int, params: Codebook) -> None:
        super().__init__(input_dim, params, nn.Identity(), nn.Identity(), input_dim)

    def fit(self, embeddings: Matrix, seed: int, warm: bool = False) -> list[Row]:
        """Lloyd's algorithm to convergence on ``[N, input_dim]``; a row per level, with the loss that is left after it.

        Args:
            warm: start from the present code vectors.
        """
        if not warm:
            self.measure(embeddings)
        sample = self.encode(embeddings[sample_rows(len(embeddings), self.params.codes, seed)]).numpy()
        start = self.vectors.numpy().copy() if warm else None
        rows = []
        levels = residual_kmeans(sample, self.params.levels, self.params.codes, _ITERATIONS, seed, start)
        for level, (found, loss) in enumerate(levels):
            self.vectors[level] = torch.from_numpy(found.centres)
            used = float(found.iterations)
            rows.append({"epoch": level + 1.0, "loss": loss, "reconstruction": loss, "iterations": used})
        return rows
