"""The RQ-VAE around the quantiser: MLP encoder → residual codes → MLP decoder (docs/method.md §2)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2gr.codebook.kmeans import residual_kmeans, sample_rows
from s2gr.codebook.losses import Neighbours, StraightThrough, neighbours, uniformity_loss
from s2gr.codebook.model import ResidualCodebook
from s2gr.embeddings import Matrix
from s2gr.params import Codebook

_KMEANS_ITERATIONS = 25
# Items whose residuals dead codes are put onto.
_REVIVAL_ROWS = 4096


class RQVAE(ResidualCodebook):
    """Kinds ``coba`` and ``rqvae``.

    Args:
        input_dim: width of the aligned embeddings.
        params: the section ``codebook``.
    """

    revived: Tensor

    def __init__(self, input_dim: int, params: Codebook) -> None:
        widths = [input_dim, *params.hidden, params.latent_dim]
        super().__init__(input_dim, params, _mlp(widths), _mlp(widths[::-1]), params.latent_dim)
        self.uniformity = params.uniformity if params.kind == "coba" else 0.0
        # Off while the autoencoder warms up: nothing is rounded then.
        self.quantizing = True
        # What belongs to one epoch and not to the model: codes near each other, and how many codes were revived.
        self.neighbours: Neighbours | None = None
        self.register_buffer("revived", torch.zeros(()), persistent=False)

    def forward(self, embeddings: Tensor) -> dict[str, Tensor]:
        """The loss terms of a batch ``[B, input_dim]``; ``loss`` is the sum of those that are trained on."""
        inputs = self.standardised(embeddings)
        latent = self.encoder(inputs).float()
        with torch.autocast(latent.device.type, enabled=False):
            rounded, terms = self._quantized(latent)
        # One pass over [B, input_dim], where a difference, its square and their mean would be five.
        terms["reconstruction"] = functional.mse_loss(self.decoder(rounded).float(), inputs, reduction="sum")
        terms["reconstruction"] = terms["reconstruction"] / len(inputs)
        terms["loss"] = torch.stack(list(terms.values())).sum()
        # Not a loss: it stands in the training curve beside them.
        terms["revived"] = self.revived
        return terms

    def _quantized(self, latent: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the decoder gets, and the losses of the code vectors."""
        names = ["codebook", "commitment", *(["uniformity"] if self.uniformity else [])]
        if not self.quantizing:
            return latent, {name: latent.new_zeros(()) for name in names}
        codes, left = self.quantizer.trace(latent.detach(), balanced=True)
        self.quantizer.count(codes)
        rounded, codebook, commitment = StraightThrough.apply(latent, self.quantizer.vectors, codes, left)
        terms = {"codebook": codebook, "commitment": self.params.commitment * commitment}
        if self.uniformity:
            # The code vectors of a test or a first batch may come without an epoch.
            pairs = self.neighbours or neighbours(self.quantizer.vectors, self.params.margin)
            terms["uniformity"] = self.uniformity * uniformity_loss(self.quantizer.vectors, pairs)
        return rounded, terms

    @torch.no_grad()
    def begin_epoch(self, epoch: int, embeddings: Matrix, seed: int, warm: bool = False) -> None:
        """What happens between epochs: the code vectors are placed after the warm-up, and dead ones are revived.

        Args:
            epoch: counted from 0.
            embeddings: all training items ``[N, input_dim]``.
            warm: the code vectors come from an earlier codebook; there is no warm-up.
        """
        placed = 0 if warm else self.params.warmup_epochs
        self.quantizing = epoch >= placed
        self.revived.zero_()
        if not self.quantizing:
            return
        if epoch == placed and not warm:
            self._place(embeddings, seed)
        else:
            generator = torch.Generator().manual_seed(seed + epoch)
            rows = torch.randint(len(embeddings), (_REVIVAL_ROWS,), generator=generator).numpy()
            self.revived.fill_(self.quantizer.revive(lambda: self.encode(embeddings[rows])))
        if self.uniformity:
            # Once an epoch: K²/2 distances and their median are too dear for each step.
            self.neighbours = neighbours(self.quantizer.vectors, self.params.margin)

    def _place(self, embeddings: Matrix, seed: int) -> None:
        """Residual k-means of the encoded items as first code vectors: from noise, most would never be chosen."""
        latent = self.encode(embeddings[sample_rows(len(embeddings), self.params.codes, seed)]).cpu().numpy()
        levels = residual_kmeans(latent, self.params.levels, self.params.codes, _KMEANS_ITERATIONS, seed)
        for level, (found, _) in enumerate(levels):
            self.vectors[level] = torch.from_numpy(found.centres)


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, (inner, outer) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(inner, outer))
        if index < len(widths) - 2:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)
