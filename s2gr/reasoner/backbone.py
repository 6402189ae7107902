"""The T5 building blocks: RMS norm, unscaled attention, bucketed relative positions, ReLU feed-forward.

As in T5: no biases, pre-normalisation, dot products without 1/√d (the initialisation makes up for it), one table of
relative-position biases shared by the layers of a stack. Two things differ, both documented in docs/method.md §4: the
encoder is causal, so that one pass serves every target of a history, and therefore cross-attention has a position
bias too: an item of a causal encoder can't know that it is the last one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_BUCKETS = 32
_MAX_DISTANCE = 128


class RMSNorm(nn.Module):
    """T5's layer norm: scale by the root mean square, no mean, no bias."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, hidden: Tensor) -> Tensor:
        return functional.rms_norm(hidden, hidden.shape[-1:], self.weight, 1e-6)


class Dropout(nn.Module):
    """Dropout that draws eight decisions from one random number; the rate is rounded to a 256th.

    torch's own draws a float per element, which took a sixth of a training step on a CPU; this takes a third of that.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.threshold = round(rate * 256)

    def forward(self, hidden: Tensor) -> Tensor:
        if not self.training or not self.threshold:
            return hidden
        words = torch.empty((hidden.numel() + 7) // 8, dtype=torch.int64, device=hidden.device).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: hidden.numel()].view(hidden.shape) >= self.threshold
        return hidden * kept.to(hidden.dtype).mul_(256 / (256 - self.threshold))


class RelativeBias(nn.Module):
    """T5's bias by causal distance: exact up to half the buckets, then logarithmic."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.table = nn.Embedding(_BUCKETS, heads)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, distance: Tensor) -> Tensor:
        """Additive attention bias ``[..., heads, Q, T]`` of distances ``[..., Q, T]``; −∞ where one is negative."""
        bias = self.table(distance_bucket(distance)).movedim(-1, -3)
        return bias.masked_fill((distance < 0).unsqueeze(-3), -torch.inf)


def distance_bucket(distance: Tensor) -> Tensor:
    """T5's unidirectional bucket of each distance ≥ 0 (negative ones count as 0)."""
    distance = distance.clamp_min(0)
    exact = _BUCKETS // 2
    scale = (_BUCKETS - exact) / math.log(_MAX_DISTANCE / exact)
    far = exact + (torch.log(distance.clamp_min(1).float() / exact) * scale).long()
    return torch.where(distance < exact, distance, far.clamp_max(_BUCKETS - 1))


@dataclass(frozen=True)
class KeyValue:
    """Keys and values of one layer, ``[batch, heads, length, head_dim]``."""

    key: Tensor
    value: Tensor


class Attention(nn.Module):
    """Projections of one multi-head attention; what attends to what is the caller's."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key_value = nn.Linear(dim, 2 * dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)
        nn.init.normal_(self.query.weight, std=(dim * dim / heads) ** -0.5)
        nn.init.normal_(self.key_value.weight, std=dim**-0.5)
        nn.init.normal_(self.output.weight, std=dim**-0.5)

    def keys(self, hidden: Tensor) -> KeyValue:
        """Keys and values of ``[batch, length, dim]``."""
        key, value = self.key_value(hidden).chunk(2, -1)
        return KeyValue(self._split(key), self._split(value))

    def forward(self, hidden: Tensor, memory: KeyValue, bias: Tensor) -> Tensor:
        """Attend from ``[batch, Q, dim]`` to ``memory``; ``bias`` broadcasts to ``[batch, heads, Q, length]``."""
        query = self._split(self.query(hidden))
        mixed = functional.scaled_dot_product_attention(query, memory.key, memory.value, bias, scale=1.0)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def short(self, hidden: Tensor, memory: KeyValue, bias: Tensor) -> Tensor:
        """The same for very many very short sequences, where one small matrix product per head costs more than it does.

        Products are summed element-wise: ``[batch, heads, Q, length, head_dim]`` is small when Q · length ≤ 12.
        """
        query = self._split(self.query(hidden))
        scores = (query.unsqueeze(3) * memory.key.unsqueeze(2)).sum(-1) + bias
        weights = scores.softmax(-1)
        mixed = (weights.unsqueeze(-1) * memory.value.unsqueeze(2)).sum(3)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _split(self, hidden: Tensor) -> Tensor:
        return hidden.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """No dropout inside, unlike T5: drawing the mask of the widest tensor took a tenth of a training step."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.up = nn.Linear(dim, inner, bias=False)
        self.down = nn.Linear(inner, dim, bias=False)
        nn.init.normal_(self.up.weight, std=dim**-0.5)
        nn.init.normal_(self.down.weight, std=inner**-0.5)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.down(self.up(hidden).relu())


class EncoderLayer(nn.Module):
    def __init__(self, dim: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.attention = RMSNorm(dim), Attention(dim, heads)
        self.feed_forward_norm, self.feed_forward = RMSNorm(dim), FeedForward(dim, inner)
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        normed = self.attention_norm(hidden)
        hidden = hidden + self.dropout(self.attention(normed, self.attention.keys(normed), bias))
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))


class Encoder(nn.Module):
    """A causal stack: ``[B, T, dim]`` → ``[B, T, dim]``, position t from positions ≤ t."""

    def __init__(self, layers: int, dim: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.bias = RelativeBias(heads)
        self.layers = nn.ModuleList(EncoderLayer(dim, heads, inner, dropout) for _ in range(layers))
        self.norm, self.dropout = RMSNorm(dim), Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        position = torch.arange(tokens.shape[1], device=tokens.device)
        bias = self.bias(position[:, None] - position[None, :])
        hidden = self.dropout(tokens)
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return self.dropout(self.norm(hidden))


class DecoderLayer(nn.Module):
    def __init__(self, dim: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.self_norm, self.self_attention = RMSNorm(dim), Attention(dim, heads)
        self.cross_norm, self.cross_attention = RMSNorm(dim), Attention(dim, heads)
        self.feed_forward_norm, self.feed_forward = RMSNorm(dim), FeedForward(dim, inner)
        self.dropout = Dropout(dropout)

    def forward(
        self, hidden: Tensor, past: KeyValue | None, self_bias: Tensor, memory: KeyValue, memory_bias: Tensor
    ) -> tuple[Tensor, KeyValue]:
        """Args: as :meth:`Decoder.forward`, of one layer; ``hidden`` is ``[B, Q, n, dim]``."""
        users, queries, length, _ = hidden.shape
        # Every hypothesis attends to its own few tokens …
        normed = self.self_norm(hidden).flatten(0, 1)
        present = self.self_attention.keys(normed)
        if past is not None:
            present = KeyValue(torch.cat([past.key, present.key], 2), torch.cat([past.value, present.value], 2))
        attended = self.self_attention.short(normed, present, self_bias)
        hidden = hidden + self.dropout(attended.unflatten(0, (users, queries)))
        # … and all hypotheses of a user to the same encoded history, which is never repeated.
        attended = self.cross_attention(self.cross_norm(hidden).flatten(1, 2), memory, memory_bias)
        hidden = hidden + self.dropout(attended.unflatten(1, (queries, length)))
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden))), present


class Decoder(nn.Module):
    """A causal stack over very short sequences (the codes and thoughts of one item) with cross-attention."""

    def __init__(self, layers: int, dim: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.self_bias, self.memory_bias = RelativeBias(heads), RelativeBias(heads)
        self.layers = nn.ModuleList(DecoderLayer(dim, heads, inner, dropout) for _ in range(layers))
        self.norm, self.dropout = RMSNorm(dim), Dropout(dropout)

    def memory(self, encoded: Tensor) -> list[KeyValue]:
        """Cross-attention keys and values of ``[B, T, dim]`` for each layer, computed once per user."""
        return [cast(DecoderLayer, layer).cross_attention.keys(encoded) for layer in self.layers]

    def forward(
        self, tokens: Tensor, past: list[KeyValue] | None, memory: list[KeyValue], distance: Tensor
    ) -> tuple[Tensor, list[KeyValue]]:
        """Append ``n`` tokens to each of ``Q`` hypotheses per user.

        Args:
            tokens: ``[B, Q, n, dim]``.
            past: each layer's keys and values of the tokens before, ``[B·Q, heads, m, head_dim]``.
            memory: from :meth:`memory`.
            distance: int64 ``[B, Q, T]``, how many items before the target's predecessor; negative is hidden.

        Returns: the output at the new tokens ``[B, Q, n, dim]``, and ``past`` grown by them.
        """
        length = tokens.shape[2]
        start = past[0].key.shape[2] if past else 0
        position = torch.arange(start + length, device=tokens.device)
        self_bias = self.self_bias(position[start:, None] - position[None, :])
        memory_bias = self.memory_bias(distance).repeat_interleave(length, dim=2)
        hidden, present = self.dropout(tokens), []
        for index, layer in enumerate(self.layers):
            hidden, grown = layer(hidden, past[index] if past else None, self_bias, memory[index], memory_bias)
            present.append(grown)
        return self.dropout(self.norm(hidden)), present
