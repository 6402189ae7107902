"""The decoder's way to an item: probabilities, thoughts, attention, and where runner-up thoughts would lead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from s2gr.evaluation.thoughts import cluster_probabilities
from s2gr.reasoner.backbone import Attention, DecoderLayer, KeyValue
from s2gr.reasoner.decoding import beam_search
from s2gr.reasoner.model import S2GR, Memory
from s2gr.reasoner.recommender import IntArray, Recommender

# Items that a runner-up leads to, and the width of the beam that finds them.
LED_TO, _WIDTH = 2, 8
# Runner-ups that are followed at a time.
_AT_ONCE = 32

# Where a runner-up starts: the codes before, and the cluster of the next one.
Fork = tuple[tuple[int, ...], int]


@dataclass(frozen=True)
class Path:
    """The way of one user's decoder to each of ``Q`` items, level after level."""

    probabilities: list[Tensor]  # [Q]: of the item's code given those before it, among the codes that some item has
    choices: list[Tensor]  # int64 [Q]: how many codes those are
    clusters: dict[int, Tensor]  # [Q, Kc] for each level with a thought: what it says of the next code's cluster
    attention: list[Tensor]  # [Q, T]: on the items that were read, at the position that predicts the code


@torch.no_grad()
def follow(recommender: Recommender, memory: Memory, items: Tensor) -> Path:
    """Decode the given items ``[Q]`` of one user, teacher-forced.

    Attention is the mean over all decoder layers and all heads of the cross-attention weights.
    """
    model, constraint = recommender.model, recommender.constraint
    with _recorded_attention(model) as weights:
        decoded = model.decode(memory.widened(len(items)), items[None])
    following = constraint.following(decoded.logits[0], items)
    probabilities = [level.own_log_probability.exp() for level in following]
    choices = [constraint.choices(level, constraint.nodes[level][items]).long() for level in range(model.levels)]
    thoughts = decoded.thoughts
    clusters = {} if thoughts is None else cluster_probabilities(model, thoughts[0])
    return Path(probabilities, choices, clusters, list(_at_predictions(model, weights, len(items))))


@torch.no_grad()
def lead(
    recommender: Recommender, histories: IntArray, lengths: IntArray, forks: Sequence[Fork], excluded: Tensor
) -> dict[Fork, list[tuple[int, float]]]:
    """The best items, and their probabilities, of those that go on from each fork.

    Args:
        histories, lengths: of one user.
        excluded: bool ``[items]``; what is not to come up.
    """
    model, found = recommender.model, {}
    for start in range(0, len(forks), _AT_ONCE):
        some = list(forks[start : start + _AT_ONCE])
        closed = torch.stack([excluded | ~behind(model, fork) for fork in some])
        memory = recommender.encode(histories.repeat(len(some), 0), lengths.repeat(len(some)))
        beam = beam_search(model, memory, recommender.constraint, _WIDTH, closed)
        best = zip(some, beam.items.tolist(), beam.scores.exp().tolist(), strict=True)
        for fork, items, scores in best:
            ranked = [(item, score) for item, score in zip(items, scores, strict=True) if item >= 0]
            found[fork] = ranked[:LED_TO]
    return found


def behind(model: S2GR, fork: Fork) -> Tensor:
    """Bool ``[items]``: whether the item has the codes before, and next a code of the cluster."""
    prefix, cluster = fork
    level = len(prefix)
    before = torch.tensor(prefix, dtype=torch.int64, device=model.codes.device)
    follows = (model.codes[:, :level] == before).all(1)
    return follows & (model.cluster[level][model.codes[:, level]] == cluster)


@contextmanager
def _recorded_attention(model: S2GR) -> Iterator[list[Tensor]]:
    """Within the block each cross-attention of the decoder leaves its weights, ``[batch, heads, tokens, T]``."""
    weights: list[Tensor] = []

    def record(attention: Attention, arguments: tuple[Tensor, KeyValue, Tensor], output: Tensor) -> None:
        hidden, memory, bias = arguments
        query = attention.query(hidden).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        weights.append((query @ memory.key.transpose(2, 3) + bias).softmax(-1))

    layers = [cast(DecoderLayer, layer) for layer in model.decoder.layers]
    hooks = [layer.cross_attention.register_forward_hook(record) for layer in layers]
    try:
        yield weights
    finally:
        for hook in hooks:
            hook.remove()


def _at_predictions(model: S2GR, weights: list[Tensor], queries: int) -> Iterator[Tensor]:
    """For each level the mean over layers and heads, ``[Q, T]``, at the position that predicts its code."""
    layers = len(model.decoder.layers)
    for number, places in enumerate(model.schedule.training()):
        mean = torch.stack(weights[number * layers : (number + 1) * layers]).mean((0, 2))[0]
        by_place = mean.view(queries, len(places), -1)
        yield from (by_place[:, index] for index, place in enumerate(places) if place.predicts)
