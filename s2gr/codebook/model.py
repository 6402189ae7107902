"""What every kind of codebook is: an encoder, residual code vectors, a decoder, and how they lie on disk.

The kinds differ in how they are fitted (:mod:`s2gr.codebook.rqvae`, :mod:`s2gr.codebook.rqkmeans`) and not in how they
are used, so whoever uses one asks :func:`s2gr.codebook.loading.load_codebook` for it and sees only this class.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from s2gr.codebook.quantizer import ResidualQuantizer
from s2gr.embeddings import Matrix
from s2gr.params import Codebook
from s2gr.workspace import write_json

# Rows worked on at a time, which bounds memory at any catalogue size; small enough for the distances to stay in cache.
CHUNK = 8_192

WEIGHTS, CONFIG = "model.safetensors", "config.json"


class ResidualCodebook(nn.Module):
    """``L`` levels of ``K`` code vectors of width ``D``, and the maps from and to embeddings of width ``input_dim``.

    Embeddings are standardised on the way in: the mean of the training items is taken off, and one factor makes the
    mean variance of a dimension 1. Sentence embeddings share a large mean (half of the squared length on Amazon
    Beauty), which says nothing about an item and would cost a network its first epochs.

    Args:
        input_dim: width of the aligned embeddings.
        params: the section ``codebook``.
        encoder: ``[B, input_dim]`` → ``[B, D]``.
        decoder: ``[B, D]`` → ``[B, input_dim]``.
        dim: D.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, input_dim: int, params: Codebook, encoder: nn.Module, decoder: nn.Module, dim: int) -> None:
        super().__init__()
        self.input_dim, self.params = input_dim, params
        self.encoder, self.decoder = encoder, decoder
        balance = params.balance if params.kind == "coba" else 0.0
        self.quantizer = ResidualQuantizer(params.levels, params.codes, dim, balance, params.balance_clip)
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("scale", torch.ones(()))

    @property
    def vectors(self) -> Tensor:
        """The code vectors, float32 ``[L, K, D]``, without a gradient."""
        return self.quantizer.vectors.detach()

    def measure(self, embeddings: Matrix) -> None:
        """Take mean and scale from the training items ``[N, input_dim]``."""
        mean = embeddings.mean(0, dtype=np.float64)
        squares = np.einsum("id,id->", embeddings, embeddings, dtype=np.float64) / embeddings.size
        variance = max(squares - float((mean**2).mean()), 1e-12)
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.fill_(variance**-0.5)

    def standardised(self, embeddings: Tensor) -> Tensor:
        """Embeddings ``[B, input_dim]`` as the encoder takes them."""
        return torch.addcmul(-self.mean * self.scale, embeddings, self.scale)

    @torch.no_grad()
    def encode(self, embeddings: Matrix) -> Tensor:
        """Latent vectors, float32 ``[N, D]``, of aligned embeddings ``[N, input_dim]``.

        ``embeddings`` may be a memory map, of float16 too: it is read chunk by chunk.
        """
        latent = torch.empty(len(embeddings), self.quantizer.vectors.shape[2], device=self.mean.device)
        for start, chunk in self._chunks(embeddings):
            latent[start : start + len(chunk)] = self.encoder(chunk)
        return latent

    @torch.no_grad()
    def nearest(self, latent: Tensor, balanced: bool = False) -> Tensor:
        """Greedy codes, int64 ``[N, L]``, of latent vectors ``[N, D]``, chunk by chunk.

        Args:
            balanced: scale the distances by the usage in training, as training did (kind ``coba`` only).
        """
        return torch.cat([self.quantizer.choose(chunk, balanced) for chunk in latent.split(CHUNK)])

    @torch.no_grad()
    def reconstruction_error(self, embeddings: Matrix, codes: Tensor) -> float:
        """``Σ‖x − x̂‖² / Σ‖x − x̄‖²`` of embeddings ``[N, input_dim]`` rebuilt from their codes ``[N, L]``.

        x̄ is the mean of the training items: 0 is perfect, 1 is what a single mean vector achieves.
        """
        error = variance = 0.0
        for start, chunk in self._chunks(embeddings):
            error += float((self._decode(codes[start : start + len(chunk)]) - chunk).square().sum(dtype=torch.float64))
            variance += float(chunk.square().sum(dtype=torch.float64))
        return error / max(variance, 1e-12)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous().cpu() for name, value in self.state_dict().items()}, folder / WEIGHTS)
        write_json({"input_dim": self.input_dim, **self.params.model_dump(mode="json")}, folder / CONFIG)

    def _decode(self, codes: Tensor) -> Tensor:
        chosen = [self.vectors[level][codes[:, level]] for level in range(codes.shape[1])]
        return self.decoder(torch.stack(chosen).sum(0))

    def _chunks(self, embeddings: Matrix) -> Iterator[tuple[int, Tensor]]:
        """Standardised chunks, each with the number of its first row."""
        for start in range(0, len(embeddings), CHUNK):
            chunk = np.array(embeddings[start : start + CHUNK], dtype=np.float32)
            yield start, self.standardised(torch.from_numpy(chunk).to(self.mean.device))
