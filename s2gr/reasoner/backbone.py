"""The T5 building blocks: RMS norm, unscaled attention, bucketed relative positions, ReLU feed-forward.

As in T5: no biases, pre-normalisation, dot products without 1/√d (the initialisation makes up for it), one table of
relative-position biases shared by the layers of a stack. Two things differ, both documented in docs/method.md §4: the
encoder is causal, so that one pass serves every target of a history, and therefore cross-attention has a position
bias too: an item of a causal encoder can't know that it is the last one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
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

    def __init__(self, dim: int, heads: int, head_dim: int | None = None) -> None:
        super().__init__()
        head_dim = head_dim or dim // heads
        inner = heads * head_dim
        self.heads = heads
        self.query = nn.Linear(dim, inner, bias=False)
        self.key_value = nn.Linear(dim, 2 * inner, bias=False)
        self.output = nn.Linear(inner, dim, bias=False)
        nn.init.normal_(self.query.weight, std=(dim * head_dim) ** -0.5)
        nn.init.normal_(self.key_value.weight, std=dim**-0.5)
        nn.init.normal_(self.output.weight, std=inner**-0.5)

    def keys(self, hidden: Tensor) -> KeyValue:
        """Keys and values of ``[batch, length, dim]``."""
        return self.split(self.key_value(hidden))

    def split(self, key_value: Tensor) -> KeyValue:
        """What :attr:`key_value` has made of each token, ``[batch, length, 2 · heads · head_dim]``, in two."""
        key, value = key_value.chunk(2, -1)
        return KeyValue(self._split(key), self._split(value))

    def forward(self, hidden: Tensor, memory: KeyValue, bias: Tensor) -> Tensor:
        """Attend from ``[batch, Q, dim]`` to ``memory``; ``bias`` broadcasts to ``[batch, heads, Q, length]``."""
        query = self._split(self.query(hidden))
        mixed = functional.scaled_dot_product_attention(query, memory.key, memory.value, bias, scale=1.0)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def short(self, hidden: Tensor, memory: list[KeyValue], bias: Tensor) -> Tensor:
        """The same for very many very short sequences, where one small matrix product per head costs more than it does.

        Products are summed element-wise, in the order in which the projections leave them, ``[batch, Q, length, heads,
        head_dim]``: small when Q · length ≤ 12. ``memory`` is in parts, so that what grows is never copied.
        """
        query = self.query(hidden).unflatten(-1, (self.heads, -1)).unsqueeze(2)
        products = [(query * part.key.transpose(1, 2).unsqueeze(1)).sum(-1) for part in memory]
        weights = (torch.cat(products, 2) + bias.permute(1, 2, 0)).softmax(2).unsqueeze(-1)
        shares = weights.split([part.key.shape[2] for part in memory], 2)
        mixed = [
            (share * part.value.transpose(1, 2).unsqueeze(1)).sum(2) for share, part in zip(shares, memory, strict=True)
        ]
        return self.output(reduce(torch.add, mixed).flatten(2))

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
        return self.down(self.up(hidden).relu_())


class EncoderLayer(nn.Module):
    def __init__(self, dim: int, heads: int, inner: int, dropout: float, head_dim: int | None) -> None:
        super().__init__()
        self.attention_norm, self.attention = RMSNorm(dim), Attention(dim, heads, head_dim)
        self.feed_forward_norm, self.feed_forward = RMSNorm(dim), FeedForward(dim, inner)
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor, bias: Tensor) -> Tensor:
        normed = self.attention_norm(hidden)
        hidden = hidden + self.dropout(self.attention(normed, self.attention.keys(normed), bias))
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))


class Encoder(nn.Module):
    """A causal stack: ``[B, T, dim]`` → ``[B, T, dim]``, position t from positions ≤ t."""

    def __init__(
        self, layers: int, dim: int, heads: int, inner: int, dropout: float, head_dim: int | None = None
    ) -> None:
        super().__init__()
        self.bias = RelativeBias(heads)
        self.layers = nn.ModuleList(EncoderLayer(dim, heads, inner, dropout, head_dim) for _ in range(layers))
        self.norm, self.dropout = RMSNorm(dim), Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        position = torch.arange(tokens.shape[1], device=tokens.device)
        bias = self.bias(position[:, None] - position[None, :])
        hidden = self.dropout(tokens)
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return self.dropout(self.norm(hidden))


# For each layer, the keys and values ``[B·Q, heads, n, head_dim]`` that each pass so far has added.
Past = list[list[KeyValue]]

# Self-attention of decoder tokens ``[B, N, dim]`` with the given projections; what they see is the caller's.
Attend = Callable[[Attention, Tensor], Tensor]


class DecoderLayer(nn.Module):
    def __init__(self, dim: int, heads: int, inner: int, dropout: float, head_dim: int | None) -> None:
        super().__init__()
        self.self_norm, self.self_attention = RMSNorm(dim), Attention(dim, heads, head_dim)
        self.cross_norm, self.cross_attention = RMSNorm(dim), Attention(dim, heads, head_dim)
        self.feed_forward_norm, self.feed_forward = RMSNorm(dim), FeedForward(dim, inner)
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor, attend: Attend, memory: KeyValue, memory_bias: Tensor) -> Tensor:
        """``[B, N, dim]`` → the same. All tokens of a user attend to one encoded history, which is never repeated."""
        hidden = hidden + self.dropout(attend(self.self_attention, self.self_norm(hidden)))
        hidden = hidden + self.dropout(self.cross_attention(self.cross_norm(hidden), memory, memory_bias))
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))


@dataclass(frozen=True)
class Context:
    """What cross-attention reads of an encoded history, computed once per user."""

    layers: list[KeyValue]  # [B, heads, T, head_dim]
    bias: Tensor  # [B, heads, Q, T]

    def for_tokens(self, count: int) -> Tensor:
        """The bias of ``count`` tokens per query, ``[B, heads, Q · count, T]``."""
        return self.bias.unsqueeze(3).expand(-1, -1, -1, count, -1).flatten(2, 3)


@dataclass
class Tree:
    """Keys and values of all hypotheses' tokens, each kept once: nothing is copied when hypotheses branch or die.

    Args:
        layers: what each layer's ``key_value`` makes of a token, with room for all to come: ``[B, room, …]``.
        own: int64 ``[B, Q, m]``: where each hypothesis' own tokens lie, oldest first.
        size: how many tokens there are.
    """

    layers: list[Tensor]
    own: Tensor
    size: int = 0


class Decoder(nn.Module):
    """A causal stack over very short sequences (the codes and thoughts of one item) with cross-attention."""

    def __init__(
        self, layers: int, dim: int, heads: int, inner: int, dropout: float, head_dim: int | None = None
    ) -> None:
        super().__init__()
        self.self_bias, self.memory_bias = RelativeBias(heads), RelativeBias(heads)
        self.layers = nn.ModuleList(DecoderLayer(dim, heads, inner, dropout, head_dim) for _ in range(layers))
        self.norm, self.dropout = RMSNorm(dim), Dropout(dropout)

    def context(self, encoded: Tensor, distance: Tensor) -> Context:
        """What the decoder reads of a history.

        Args:
            encoded: ``[B, T, dim]``.
            distance: int64 ``[B, Q, T]``, how many items before the target's predecessor; negative is hidden.
        """
        layers = [cast(DecoderLayer, layer).cross_attention.keys(encoded) for layer in self.layers]
        return Context(layers, self.memory_bias(distance))

    def forward(self, tokens: Tensor, past: Past | None, context: Context) -> tuple[Tensor, Past]:
        """Append ``n`` tokens to each of ``Q`` sequences per user: the form for training.

        Args:
            tokens: ``[B, Q, n, dim]``.
            past: what the call before has returned.

        Returns: the output at the new tokens ``[B, Q, n, dim]``, and ``past`` grown by them.
        """
        users, queries, length, _ = tokens.shape
        past = past or [[] for _ in self.layers]
        start = sum(part.key.shape[2] for part in past[0])
        position = torch.arange(start + length, device=tokens.device)
        self_bias = self.self_bias(position[start:, None] - position[None, :])
        present: Past = []

        def attend(attention: Attention, normed: Tensor) -> Tensor:
            own = normed.reshape(users * queries, length, -1)
            present.append([*past[len(present)], attention.keys(own)])
            return attention.short(own, present[-1], self_bias).reshape(users, queries * length, -1)

        return self._run(tokens, attend, context), present

    def grow(self, tokens: Tensor, tree: Tree, context: Context) -> Tensor:
        """Append ``n`` tokens to each of ``Q`` hypotheses per user: the form for decoding.

        The tokens of all hypotheses are one sequence, in which each sees its ancestors alone.

        Args:
            tokens: ``[B, Q, n, dim]``; there may be fewer than the hypotheses in ``tree``: these are then the first.
            tree: is grown by the tokens.

        Returns: the output at the new tokens ``[B, Q, n, dim]``.
        """
        users, queries, length, _ = tokens.shape
        start, end = tree.size, tree.size + queries * length
        added = torch.arange(start, end, device=tokens.device).view(queries, length).expand(users, -1, -1)
        tree.own, tree.size = torch.cat([tree.own, added], 2), end
        position = torch.arange(tree.own.shape[2], device=tokens.device)
        bias = self.self_bias(position[-length:, None] - position[None, :])  # [heads, n, m]
        shape = (users, bias.shape[0], queries, *bias.shape[1:])
        hidden_bias = tokens.new_full((*shape[:4], end), -torch.inf)
        hidden_bias.scatter_(4, tree.own[:, None, :, None].expand(shape), bias[:, None].expand(shape))
        self_bias = hidden_bias.flatten(2, 3)
        layers = iter(tree.layers)

        def attend(attention: Attention, normed: Tensor) -> Tensor:
            known = next(layers)
            known[:, start:end] = attention.key_value(normed)
            return attention(normed, attention.split(known[:, :end]), self_bias)

        return self._run(tokens, attend, context)

    def _run(self, tokens: Tensor, attend: Attend, context: Context) -> Tensor:
        hidden, bias = self.dropout(tokens).flatten(1, 2), context.for_tokens(tokens.shape[2])
        for layer, memory in zip(self.layers, context.layers, strict=True):
            hidden = layer(hidden, attend, memory, bias)
        return self.dropout(self.norm(hidden)).view(tokens.shape)
