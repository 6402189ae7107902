"""Constrained beam search over the trie of semantic IDs, many users at once.

The history is encoded once per user, and its keys and values are shared by all hypotheses; a hypothesis owns only the
keys and values of its few own tokens, gathered by parent when the beam moves. ``Hypotheses`` steps the network,
``beam_search`` is model-free bookkeeping over the log-probabilities that it returns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from s2gr.reasoner.backbone import KeyValue
from s2gr.reasoner.model import S2GR, Memory
from s2gr.sids.trie import Trie


@dataclass(frozen=True)
class Constraint:
    """The trie as tensors on the model's device."""

    children: list[Tensor]  # L tables int64 [nodes, K], −1 where no item has the prefix
    leaf_item: Tensor  # int64 [items]

    @staticmethod
    def of(trie: Trie, device: torch.device) -> Constraint:
        tables = [torch.from_numpy(table).to(device, torch.int64) for table in trie.children]
        return Constraint(tables, torch.from_numpy(trie.leaf_item).to(device))


@dataclass(frozen=True)
class Beam:
    """The best items of each user, best first."""

    items: Tensor  # int64 [B, beam], −1 where there are fewer
    scores: Tensor  # float32 [B, beam]: log-probabilities, −∞ where there are fewer


class Hypotheses:
    """The decoder's state for ``Q`` prefixes of each user."""

    def __init__(self, model: S2GR, memory: Memory) -> None:
        self.model, self.level = model, 0
        self.memory = memory.widened(1)
        users = memory.encoded.shape[0]
        self.past: list[KeyValue] | None = None
        self._feed(model.start.expand(users, 1, -1))

    def logits(self) -> Tensor:
        """``[B, Q, K]`` of the next code: after a thought, if the model thinks."""
        if self.model.thinks:
            self._feed(self.model.think(self.output, self.level))
        return self.model.code_logits(self.output, self.level)

    def extend(self, parent: Tensor, code: Tensor) -> None:
        """Go on with ``Q'`` hypotheses: the one at ``parent`` ``[B, Q']`` followed by ``code`` ``[B, Q']``."""
        users, queries = self.memory.distance.shape[:2]
        rows = (torch.arange(users, device=parent.device)[:, None] * queries + parent).flatten()
        assert self.past is not None
        self.past = [KeyValue(layer.key[rows], layer.value[rows]) for layer in self.past]
        self.memory = self.memory.widened(parent.shape[1])
        self._feed(self.model.code_token(self.level, code))
        self.level += 1

    def _feed(self, token: Tensor) -> None:
        output, self.past = self.model.decoder(token.unsqueeze(2), self.past, self.memory.layers, self.memory.distance)
        self.output = output[:, :, 0]


@torch.no_grad()
def beam_search(
    model: S2GR, memory: Memory, constraint: Constraint, width: int, excluded: Tensor | None = None
) -> Beam:
    """The ``width`` most probable items of each user.

    A score is ``Σ_l log p(s_l | s_<l)`` with each p normalised over the codes that some item has there, so that the
    probabilities of all items sum to one.

    Args:
        excluded: bool ``[B, items]``; these are not found, and do not take a place in the beam.
    """
    users = memory.encoded.shape[0]
    hypotheses = Hypotheses(model, memory)
    node = torch.zeros(users, 1, dtype=torch.int64, device=memory.encoded.device)
    score = torch.zeros(users, 1, device=memory.encoded.device)
    for level in range(model.levels):
        child = constraint.children[level][node]  # [B, Q, K]
        candidate = score.unsqueeze(-1) + masked_log_softmax(hypotheses.logits(), child >= 0)
        if level == model.levels - 1 and excluded is not None:
            leaves = constraint.leaf_item[child.clamp_min(0)]
            out = excluded.gather(1, leaves.flatten(1)).view_as(child)
            candidate = candidate.masked_fill(out, -torch.inf)
        size = candidate.shape[-1]
        score, best = candidate.flatten(1).topk(min(width, candidate[0].numel()), dim=1)
        parent, code = best // size, best % size
        # A hypothesis without a child has score −∞ and stays at the root's node 0, harmless.
        node = child.flatten(1).gather(1, best).clamp_min(0)
        if level < model.levels - 1:
            hypotheses.extend(parent, code)
    items = constraint.leaf_item[node].masked_fill(score == -torch.inf, -1)
    return Beam(items, score)


@torch.no_grad()
def item_log_probabilities(model: S2GR, memory: Memory, constraint: Constraint, items: Tensor) -> Tensor:
    """Exact ``log p(item)`` of given items ``[B, Q]``, without a beam: ``[B, Q]``."""
    hypotheses = Hypotheses(model, memory)
    node = torch.zeros_like(items[:, :1])
    total = torch.zeros(items.shape, device=items.device)
    for level in range(model.levels):
        code = model.codes[items, level]
        children = constraint.children[level][node]
        log_probability = masked_log_softmax(hypotheses.logits(), children >= 0)
        if level == 0:
            log_probability, children = (x.expand(-1, items.shape[1], -1) for x in (log_probability, children))
        total = total + log_probability.gather(2, code.unsqueeze(2)).squeeze(2)
        node = children.gather(2, code.unsqueeze(2)).squeeze(2)
        if level < model.levels - 1:
            own = torch.arange(items.shape[1], device=items.device).expand_as(items)
            hypotheses.extend(torch.zeros_like(own) if level == 0 else own, code)
    return total


def masked_log_softmax(logits: Tensor, allowed: Tensor) -> Tensor:
    """Log-softmax over the allowed entries of the last axis; −∞ elsewhere, also where nothing is allowed."""
    masked = logits.float().masked_fill(~allowed, -torch.inf)
    return masked.log_softmax(-1).masked_fill(~allowed, -torch.inf)
