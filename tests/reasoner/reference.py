"""The slow, obvious reasoner: one history and one item at a time, no cache, no packing, loops for attention.

It shares the weights of the fast one and nothing of its code paths.
"""

import math

import torch
from torch import Tensor

from s2gr.reasoner.model import S2GR


def norm(hidden: Tensor, weight: Tensor) -> Tensor:
    return hidden / (hidden.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def bucket(distance: int) -> int:
    if distance < 16:
        return distance
    return min(31, 16 + int(math.log(distance / 16) / math.log(128 / 16) * 16))


def attend(module, queries: Tensor, keys: Tensor, bias) -> Tensor:
    """``bias(head, q, k)`` is added to the unscaled product; None hides k from q."""
    heads, inner = module.heads, module.query.weight.shape[0]
    width = inner // heads
    query = queries @ module.query.weight.T
    key, value = (keys @ module.key_value.weight.T).split(inner, -1)
    mixed = torch.zeros_like(query)
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        for q in range(len(queries)):
            seen = [k for k in range(len(keys)) if bias(head, q, k) is not None]
            scores = torch.stack([query[q, part] @ key[k, part] + bias(head, q, k) for k in seen])
            mixed[q, part] = scores.softmax(0) @ value[seen, part]
    return mixed @ module.output.weight.T


def causal(table: Tensor):
    return lambda head, q, k: table[bucket(q - k), head] if k <= q else None


def feed_forward(module, hidden: Tensor) -> Tensor:
    return (hidden @ module.up.weight.T).relu() @ module.down.weight.T


def encode(model: S2GR, history: list[int]) -> Tensor:
    tokens = []
    for item in history:
        token = sum(model.code_table[level, model.codes[item, level]] for level in range(model.levels))
        tokens.append((token + (0 if model.item_table is None else model.item_table[item])) * model.params.dim**0.5)
    hidden = torch.stack(tokens)
    for layer in model.encoder.layers:
        normed = norm(hidden, layer.attention_norm.weight)
        hidden = hidden + attend(layer.attention, normed, normed, causal(model.encoder.bias.table.weight))
        hidden = hidden + feed_forward(layer.feed_forward, norm(hidden, layer.feed_forward_norm.weight))
    return norm(hidden, model.encoder.norm.weight)


def decode(decoder, tokens: list[Tensor], encoded: Tensor) -> Tensor:
    """The decoder's output at the last of ``tokens``."""
    hidden, last = torch.stack(tokens), len(encoded) - 1
    for layer in decoder.layers:
        normed = norm(hidden, layer.self_norm.weight)
        hidden = hidden + attend(layer.self_attention, normed, normed, causal(decoder.self_bias.table.weight))
        memory = decoder.memory_bias.table.weight
        cross = norm(hidden, layer.cross_norm.weight)
        recency = lambda head, q, k, memory=memory: memory[bucket(last - k), head]  # noqa: E731
        hidden = hidden + attend(layer.cross_attention, cross, encoded, recency)
        hidden = hidden + feed_forward(layer.feed_forward, norm(hidden, layer.feed_forward_norm.weight))
    return norm(hidden, decoder.norm.weight)[-1]


def step_by_step(model: S2GR, history: list[int], item: int) -> tuple[list[Tensor], list[list[Tensor]]]:
    """Logits and thoughts of each level for one target: BOS → t1 → s1 → t2 → …, each step from scratch."""
    encoded = encode(model, history)
    tokens = [model.start if model.start_map is None else model.start + model.start_map.weight @ encoded[-1]]
    table = [] if model.thought_table is None else list(model.thought_table)
    logits, thoughts = [], [[] for _ in range(model.levels)]

    def think(level: int) -> None:
        for _ in range(model.params.steps[level]):
            thoughts[level].append(decode(model.decoder, tokens, encoded) + table.pop(0))
            tokens.append(thoughts[level][-1])

    if model.params.thinking == "before":
        for level in range(model.levels):
            think(level)
    for level in range(model.levels):
        if model.params.thinking == "stepwise":
            think(level)
        if model.params.thinking == "pause":
            for _ in range(model.params.steps[level]):
                tokens.append(table.pop(0))
        logits.append(model.code_table[level] @ decode(model.decoder, tokens, encoded))
        tokens.append(model.code_table[level, model.codes[item, level]] * model.params.dim**0.5)
    return logits, thoughts


def interest(model: S2GR, history: list[int]) -> Tensor:
    encoded = encode(model, history)
    if model.params.interest_reader == "state":
        return encoded[-1]
    return decode(model.interest_decoder, [model.interest_start], encoded)


def catalogue_log_probabilities(model: S2GR, history: list[int]) -> Tensor:
    """``log p(item)`` of every item, each level normalised over the codes that some item continues with."""
    codes = model.codes.tolist()
    scores = []
    for item, own in enumerate(codes):
        logits, _ = step_by_step(model, history, item)
        total = 0.0
        for level in range(model.levels):
            allowed = sorted({other[level] for other in codes if other[:level] == own[:level]})
            chosen = allowed.index(own[level])
            total = total + logits[level][allowed].log_softmax(0)[chosen]
        scores.append(total)
    return torch.stack(scores)
