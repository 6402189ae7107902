"""The RQ-VAE around the quantiser: MLP encoder → residual codes → MLP decoder (docs/method.md §2)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from s2gr.codebook.quantizer import ResidualQuantizer, commitment_loss, uniformity_loss
from s2gr.embeddings import Matrix
from s2gr.errors import UserError
from s2gr.params import Codebook
from s2gr.workspace import read_json, write_json

# Rows encoded at a time, which bounds memory at any catalogue size.
CHUNK = 65_536
# Rows that k-means sees; more do not move 256 centres.
_KMEANS_ROWS = 65_536
_KMEANS_ITERATIONS = 25


def codebook_input(embeddings: Matrix) -> Tensor:
    """Rows of unit norm ``[items, dim]``, scaled to unit variance a feature: losses then don't depend on the width."""
    return torch.from_numpy(embeddings * np.float32(embeddings.shape[1] ** 0.5))


class RQVAE(nn.Module):
    """Args: input_dim: width of the aligned embeddings; params: the section ``codebook``."""

    def __init__(self, input_dim: int, params: Codebook) -> None:
        super().__init__()
        self.params = params
        widths = [input_dim, *params.hidden, params.latent_dim]
        self.encoder = _mlp(widths)
        self.decoder = _mlp(widths[::-1])
        self.quantizer = ResidualQuantizer(
            params.levels, params.codes, params.latent_dim, params.balance, params.balance_clip
        )

    def forward(self, embeddings: Tensor) -> dict[str, Tensor]:
        """The loss terms of a batch ``[B, input_dim]``; ``loss`` is their sum."""
        latent = self.encoder(embeddings)
        quantized = self.quantizer(latent, balanced=True)
        self.quantizer.count(quantized.codes)
        # Straight-through: the decoder's gradient reaches the encoder as if nothing had been rounded.
        rounded = latent + (quantized.chosen.sum(1) - latent).detach()
        terms = {"reconstruction": (self.decoder(rounded) - embeddings).square().sum(1).mean()}
        terms["codebook"], terms["commitment"] = commitment_loss(quantized, self.params.commitment)
        if self.params.uniformity:
            terms["uniformity"] = self.params.uniformity * uniformity_loss(self.quantizer.vectors, self.params.margin)
        terms["loss"] = torch.stack(list(terms.values())).sum()
        return terms

    @torch.no_grad()
    def encode(self, embeddings: Tensor) -> Tensor:
        """Latent vectors ``[N, D]`` of ``[N, input_dim]``, chunk by chunk."""
        return torch.cat([self.encoder(chunk) for chunk in embeddings.split(CHUNK)])

    @torch.no_grad()
    def reconstruction_error(self, embeddings: Tensor, codes: Tensor) -> float:
        """Mean of ``‖x − decoder(Σ e)‖² / ‖x‖²`` for the given codes ``[N, L]``."""
        total = 0.0
        for chunk, code in zip(embeddings.split(CHUNK), codes.split(CHUNK), strict=True):
            vectors = torch.stack([self.quantizer.vectors[level][code[:, level]] for level in range(code.shape[1])])
            error = (self.decoder(vectors.sum(0)) - chunk).square().sum(1) / chunk.square().sum(1).clamp_min(1e-12)
            total += float(error.sum())
        return total / len(embeddings)

    @torch.no_grad()
    def initialise(self, embeddings: Tensor, seed: int) -> None:
        """Residual k-means (k-means++, Lloyd) of the encoded items as first code vectors.

        Started from noise, most codes would never be chosen. With fewer items than codes, the remaining codes are
        items with a little noise.
        """
        generator = np.random.default_rng(seed)
        rows = generator.permutation(len(embeddings))[:_KMEANS_ROWS]
        residual = self.encode(embeddings[torch.from_numpy(np.sort(rows))]).numpy()
        for level in range(self.params.levels):
            centres = _kmeans(residual, self.params.codes, seed + level)
            self.quantizer.vectors[level] = torch.from_numpy(centres)
            nearest = self.quantizer.nearest(torch.from_numpy(residual), level, balanced=False)
            residual = residual - centres[nearest.numpy()]

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {name: value.contiguous().cpu() for name, value in self.state_dict().items()}, folder / "model.safetensors"
        )
        first = self.encoder[0]
        assert isinstance(first, nn.Linear)
        write_json({"input_dim": first.in_features, **self.params.model_dump()}, folder / "config.json")

    @staticmethod
    def load(folder: Path) -> RQVAE:
        """Read what :meth:`save` wrote. Raises: UserError: if it is missing."""
        if not (folder / "config.json").exists():
            raise UserError(f"{folder} holds no codebook: run the stage `codebook` first (`dvc repro`, or `s2gr run`)")
        config = read_json(folder / "config.json")
        model = RQVAE(config.pop("input_dim"), Codebook.model_validate(config))
        model.load_state_dict(load_file(folder / "model.safetensors"))
        return model.eval()


def _mlp(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index, (inner, outer) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(inner, outer))
        if index < len(widths) - 2:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


def _kmeans(rows: Matrix, codes: int, seed: int) -> Matrix:
    distinct = np.unique(rows, axis=0)
    if len(distinct) <= codes:
        generator = np.random.default_rng(seed)
        extra = generator.choice(len(distinct), codes - len(distinct))
        scale = max(float(distinct.std()), 1e-6)
        noise = generator.normal(0, 0.01 * scale, (len(extra), rows.shape[1]))
        return np.concatenate([distinct, distinct[extra] + noise]).astype(np.float32)
    # One thread: the order in which several add up their partial sums is not fixed, hence neither are the bytes.
    with threadpool_limits(1):
        fitted = KMeans(codes, n_init=1, max_iter=_KMEANS_ITERATIONS, random_state=seed).fit(rows)
    centres: Matrix = fitted.cluster_centers_.astype(np.float32)
    return centres
