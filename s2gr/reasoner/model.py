"""S²GR: an encoder over the history, and a decoder that thinks before every code (docs/method.md §4).

Decoder inputs for L = 3: ``BOS → t1 → s1 → t2 → s2 → t3``; the output at ``t_l`` predicts ``s_l``, and
``t_l = (output at the position before) + p_l`` is continuous. ``thinking: none`` is TIGER: ``BOS → s1 → s2``.
Tensors: ``B`` histories of ``T`` items, ``Q`` targets or hypotheses of each, ``L`` levels, ``K`` codes, width ``D``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2gr.params import Reasoner
from s2gr.reasoner.backbone import Decoder, Encoder, KeyValue


@dataclass(frozen=True)
class Catalogue:
    """What the model knows of the items."""

    codes: Tensor  # int64 [items, L]
    size: int  # K
    centres: Tensor  # float32 [L, Kc, latent]: cluster centres of each level's code vectors
    cluster: Tensor  # int64 [L, K]: the cluster of each code


@dataclass(frozen=True)
class Memory:
    """An encoded history: what all hypotheses of a user share."""

    encoded: Tensor  # [B, T, D]
    layers: list[KeyValue]
    distance: Tensor  # int64 [B, Q, T]

    def widened(self, queries: int) -> Memory:
        """The same for ``queries`` hypotheses per user (all of them predict the same target)."""
        return Memory(self.encoded, self.layers, self.distance[:, :1].expand(-1, queries, -1))


@dataclass(frozen=True)
class Decoded:
    """The packed, teacher-forced outputs for every target."""

    logits: Tensor  # [B, Q, L, K]
    thoughts: Tensor | None  # [B, Q, L, D]: t_l, if the model thinks


class S2GR(nn.Module):
    """The network; losses stand in ``losses.py``, decoding in ``decoding.py``."""

    codes: Tensor
    centres: Tensor
    cluster: Tensor

    def __init__(self, params: Reasoner, catalogue: Catalogue) -> None:
        super().__init__()
        self.params = params
        items, levels = catalogue.codes.shape
        dim = params.dim
        self.thinks = params.thinking == "stepwise"
        self.register_buffer("codes", catalogue.codes)
        self.register_buffer("centres", catalogue.centres)
        self.register_buffer("cluster", catalogue.cluster)
        # Rows of norm ~1: as inputs they are scaled by √D, as output weights they are used as they are (tied).
        self.code_table = nn.Parameter(torch.randn(levels, catalogue.size, dim) * dim**-0.5)
        self.item_table = nn.Parameter(torch.randn(items, dim) * dim**-0.5) if params.item_embedding else None
        shape = (dim, params.heads, params.feed_forward, params.dropout)
        self.encoder = Encoder(params.encoder_layers, *shape)
        self.decoder = Decoder(params.decoder_layers, *shape)
        self.interest_decoder = Decoder(max(1, params.decoder_layers // 2), *shape)
        self.start = nn.Parameter(torch.randn(dim))
        self.interest_start = nn.Parameter(torch.randn(dim))
        self.level_position = nn.Parameter(torch.randn(levels, dim) * 0.1)
        # From the codebook's latent space to the model's, one linear map per level, on frozen centres.
        self.centre_map = nn.Parameter(torch.randn(levels, catalogue.centres.shape[2], dim) * dim**-0.5)

    @property
    def levels(self) -> int:
        return self.codes.shape[1]

    def item_vectors(self) -> Tensor:
        """``[items, D]``: the mean code embedding of each item, plus its own embedding if there is one."""
        levels = torch.arange(self.levels, device=self.codes.device)
        vectors = self.code_table[levels, self.codes].mean(1)
        return vectors if self.item_table is None else vectors + self.item_table

    def encode(self, items: Tensor, position: Tensor) -> Memory:
        """Encode histories once.

        Args:
            items: int64 ``[B, T]``, oldest first, −1 behind the end.
            position: int64 ``[B, Q]``, for each target the index of the item before it.
        """
        known = items.clamp_min(0)
        levels = torch.arange(self.levels, device=items.device)
        tokens = self.code_table[levels, self.codes[known]].sum(2)
        if self.item_table is not None:
            tokens = tokens + self.item_table[known]
        encoded = self.encoder(tokens * self.params.dim**0.5)
        index = torch.arange(items.shape[1], device=items.device)
        # Later items, padding among them, are at negative distances, hence hidden.
        return Memory(encoded, self.decoder.memory(encoded), position[:, :, None] - index)

    def interest(self, memory: Memory) -> Tensor:
        """v_g, the overall interest at each target: ``[B, Q, D]``."""
        users, queries, _ = memory.distance.shape
        start = self.interest_start.expand(users, queries, 1, -1)
        keys = self.interest_decoder.memory(memory.encoded)
        return self.interest_decoder(start, None, keys, memory.distance)[0].squeeze(2)

    def interest_logits(self, interest: Tensor) -> Tensor:
        """``[N, items]`` of v_g ``[N, D]``, scored as it is trained: by cosine / τ in a batch, else by dot product."""
        vectors = self.item_vectors()
        if self.params.interest == "batch":
            interest, vectors = functional.normalize(interest, dim=-1), functional.normalize(vectors, dim=-1)
            return interest @ vectors.T / self.params.interest_temperature
        return interest @ vectors.T

    def decode(self, memory: Memory, targets: Tensor) -> Decoded:
        """All codes of all targets ``[B, Q]``, teacher-forced.

        A thought feeds back, so this takes L + 1 dependent passes (``BOS``, ``t1 s1``, ``t2 s2``, …, ``tL``);
        without thinking it takes one.
        """
        users, queries = targets.shape
        given = [self.code_token(level, self.codes[targets, level]) for level in range(self.levels - 1)]
        start = self.start.expand(users, queries, -1)
        if not self.thinks:
            output, _ = self.decoder(torch.stack([start, *given], 2), None, memory.layers, memory.distance)
            return Decoded(self._all_logits(output), None)
        output, past = self.decoder(start.unsqueeze(2), None, memory.layers, memory.distance)
        outputs, thoughts = [], []
        for level in range(self.levels):
            thoughts.append(self.think(output[:, :, -1], level))
            tokens = [thoughts[-1], *given[level : level + 1]]
            output, past = self.decoder(torch.stack(tokens, 2), past, memory.layers, memory.distance)
            outputs.append(output[:, :, 0])
        return Decoded(self._all_logits(torch.stack(outputs, 2)), torch.stack(thoughts, 2))

    def think(self, output: Tensor, level: int) -> Tensor:
        """``t_l``: the decoder's last output plus the level's learned position."""
        return output + self.level_position[level]

    def code_token(self, level: int, code: Tensor) -> Tensor:
        """The decoder's input for a code: ``[..., D]`` of ``[...]``."""
        return self.code_table[level][code] * self.params.dim**0.5

    def code_logits(self, output: Tensor, level: int) -> Tensor:
        """``[..., K]`` of the decoder's output ``[..., D]`` at the position that predicts ``level``."""
        return output @ self.code_table[level].T

    def _all_logits(self, outputs: Tensor) -> Tensor:
        return torch.einsum("bqld,lkd->bqlk", outputs, self.code_table)
