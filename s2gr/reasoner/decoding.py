"""Constrained beam search over the trie of semantic IDs, many users at once.

The history is encoded once per user, and its keys and values are shared by all hypotheses, which are the branches of
one tree of tokens: when the beam moves, only the indices of each hypothesis' own tokens do. ``Hypotheses`` steps the
network, ``beam_search`` is model-free bookkeeping over the log-probabilities of the codes that the trie allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from s2gr.reasoner.backbone import Tree
from s2gr.reasoner.model import S2GR, Memory
from s2gr.reasoner.trie import Trie


@dataclass(frozen=True)
class Continuations:
    """The codes with which hypotheses may go on; ``C`` is the most that any of them has."""

    child: Tensor  # int64 [B, Q, C]: the node that each leads to
    code: Tensor  # int64 [B, Q, C]
    allowed: Tensor  # bool [B, Q, C]: false behind the last of a hypothesis

    def log_probabilities(self, logits: Tensor) -> Tensor:
        """``[B, Q, C]`` of logits ``[B, Q, K]``, normalised over what is allowed; −∞ elsewhere.

        Logits may lack the last hypotheses, where these have one continuation each: its probability is 1.
        """
        queries = logits.shape[1]
        own = logits.float().gather(2, self.code[:, :queries])
        own = functional.pad(own, (0, 0, 0, self.code.shape[1] - queries))
        return own.masked_fill(~self.allowed, -torch.inf).log_softmax(-1)


@dataclass(frozen=True)
class Following:
    """What may follow the first codes of ``N`` items at one level; ``C`` is the most that any of them has."""

    child: Tensor  # int64 [N, C]: the node that each code leads to
    log_probabilities: Tensor  # float32 [N, C], normalised over what may follow; −∞ behind the last of an item
    own: Tensor  # int64 [N]: the column of the item's own code

    @property
    def own_log_probability(self) -> Tensor:
        """``log p(s_l | s_<l)``, ``[N]``: the sum over the levels is what the beam ranks by."""
        return self.log_probabilities.gather(1, self.own[:, None])[:, 0]

    @property
    def accuracy(self) -> Tensor:
        """The share of the items whose own code is the most probable one."""
        return (self.log_probabilities.detach().argmax(1) == self.own).float().mean()


@dataclass(frozen=True)
class Constraint:
    """The trie as tensors on the model's device."""

    first: list[Tensor]
    code: list[Tensor]
    leaf_item: Tensor  # int64 [items]
    # For each depth from 0 to L, the node that an item's first codes lead to: int64 [items].
    nodes: list[Tensor]

    @staticmethod
    def of(trie: Trie, device: torch.device) -> Constraint:
        first, code = ([torch.from_numpy(level).to(device) for level in levels] for levels in (trie.first, trie.code))
        leaf_item = torch.from_numpy(trie.leaf_item).to(device)
        nodes = [torch.empty_like(leaf_item).scatter_(0, leaf_item, torch.arange(len(leaf_item), device=device))]
        for children in reversed(first):
            nodes.insert(0, torch.searchsorted(children.long(), nodes[0], right=True) - 1)
        return Constraint(first, code, leaf_item, nodes)

    def choices(self, level: int, node: Tensor) -> Tensor:
        """How many codes continue each node: int32, shaped as ``node``."""
        return self.first[level][node + 1] - self.first[level][node]

    def continuations(self, level: int, node: Tensor) -> Continuations:
        """The children of nodes ``[B, Q]`` of depth ``level``."""
        first, end = self.first[level][node].long(), self.first[level][node + 1]
        child = first.unsqueeze(2) + torch.arange(int((end - first).max()), device=node.device)
        allowed = child < end.unsqueeze(2)
        child = torch.where(allowed, child, first.unsqueeze(2))
        return Continuations(child, self.code[level][child].long(), allowed)

    def following(self, logits: Tensor, items: Tensor) -> list[Following]:
        """For each level, what may follow the true codes before it of known items.

        Args:
            logits: ``[N, L, K]``, teacher-forced.
            items: int64 ``[N]``.
        """
        found = []
        for level in range(logits.shape[1]):
            node, next_node = self.nodes[level][items], self.nodes[level + 1][items]
            options = self.continuations(level, node[:, None])
            log_probabilities = options.log_probabilities(logits[:, level : level + 1])[:, 0]
            own = next_node - self.first[level][node]
            found.append(Following(options.child[:, 0], log_probabilities, own))
        return found

    def open_nodes(self, excluded: Tensor) -> list[Tensor]:
        """Which nodes still lead to an item: bool ``[B, nodes]`` for each depth from 1 to L.

        Args:
            excluded: bool ``[B, items]``; B may be 1, for all users alike.
        """
        levels = [~excluded[:, self.leaf_item]]
        for first in reversed(self.first[1:]):
            count = functional.pad(levels[0].cumsum(1, dtype=torch.int32), (1, 0))
            levels.insert(0, count[:, first[1:]] > count[:, first[:-1]])
        return levels


@dataclass(frozen=True)
class Beam:
    """The best items of each user, best first."""

    items: Tensor  # int64 [B, beam], −1 where there are fewer
    scores: Tensor  # float32 [B, beam]: log-probabilities, −∞ where there are fewer


def no_beam(users: int, device: torch.device) -> Beam:
    """A beam that found nothing."""
    return Beam(torch.full((users, 1), -1, device=device), torch.full((users, 1), -torch.inf, device=device))


class Hypotheses:
    """The decoder's state for ``Q`` prefixes of each user, at most ``width``."""

    def __init__(self, model: S2GR, memory: Memory, width: int) -> None:
        self.model, self.memory, self.level = model, memory.widened(1), 0
        self.output = model.first_token(self.memory)
        users = len(self.output)
        self.codes = model.codes.new_empty(users, 1, 0)
        tokens = [len(segment) * (width if level else 1) for level, segment in enumerate(model.schedule.segments)]
        keys = [layer.key for layer in self.memory.context.layers]
        room = [key.new_empty(users, sum(tokens), 2 * key.shape[1] * key.shape[3]) for key in keys]
        self.tree = Tree(room, self.codes)

    def logits(self) -> Tensor:
        """``[B, Q, K]`` of the next code, after the thoughts that belong before it."""
        for places in self.model.schedule.decoding(self.level):
            tokens = torch.stack([self.model.token(place, self.output, self.codes) for place in places], 2)
            self.output = self.model.decoder.grow(tokens, self.tree, self.memory.context)[:, :, -1]
        return self.model.code_logits(self.output, self.level)

    def extend(self, parent: Tensor, code: Tensor) -> None:
        """Go on with ``Q'`` hypotheses: the one at ``parent`` ``[B, Q']`` followed by ``code`` ``[B, Q']``."""
        self.tree.own, self.codes = (
            values.gather(1, parent.unsqueeze(2).expand(-1, -1, values.shape[2]))
            for values in (self.tree.own, self.codes)
        )
        self.codes = torch.cat([self.codes, code.unsqueeze(2)], 2)
        self.memory = self.memory.widened(parent.shape[1])
        self.level += 1


def beam_search(
    model: S2GR, memory: Memory, constraint: Constraint, width: int, excluded: Tensor | None = None
) -> Beam:
    """:func:`beam_searches` with one filter, or none."""
    return beam_searches(model, memory, constraint, width, [excluded])[0]


@torch.no_grad()
def beam_searches(
    model: S2GR, memory: Memory, constraint: Constraint, width: int, filters: Sequence[Tensor | None]
) -> list[Beam]:
    """The ``width`` most probable items of each user, under each filter.

    A score is ``Σ_l log p(s_l | s_<l)`` with each p normalised over the codes that some item has there, so that the
    probabilities of all items sum to one, whatever is filtered. Every filter has a beam of its own, but the network
    sees a prefix that several beams hold only once.

    Args:
        filters: bool ``[B, items]``, or ``[1, items]`` for all users alike: items that are not to be found. A prefix
            that leads to nothing else takes no place, so a beam is full whenever ``width`` other items exist.
    """
    users, device, last = memory.encoded.shape[0], memory.encoded.device, model.levels - 1
    open_nodes = [None if excluded is None else constraint.open_nodes(excluded) for excluded in filters]
    hypotheses = Hypotheses(model, memory, width * len(filters))
    node = torch.zeros(users, 1, dtype=torch.int64, device=device)
    score = torch.zeros(users, 1, device=device)
    members = [torch.ones_like(node, dtype=torch.bool) for _ in filters]
    asked = 1
    for level in range(model.levels):
        options = constraint.continuations(level, node)
        # Nothing hangs on what the network says where every hypothesis has one continuation.
        logits = hypotheses.logits() if asked else score.new_empty(users, 0, 1)
        candidate = score.unsqueeze(2) + options.log_probabilities(logits)
        beams = [
            _best(candidate, options, member, None if is_open is None else is_open[level], width)
            for member, is_open in zip(members, open_nodes, strict=True)
        ]
        if level == last:
            break
        place = _union([beam.place for beam in beams], candidate[0].numel())
        members = [(place.unsqueeze(2) == beam.place.unsqueeze(1)).any(2) for beam in beams]
        there = place < candidate[0].numel()
        place = place.clamp_max(candidate[0].numel() - 1)
        score = candidate.flatten(1).gather(1, place).masked_fill(~there, -torch.inf)
        node, code = options.child.flatten(1).gather(1, place), options.code.flatten(1).gather(1, place)
        parent, asked = place // candidate.shape[2], place.shape[1]
        if level + 1 == last:
            # The last code of a prefix that one item has is certain: only the others are put before the network.
            undecided = (constraint.choices(last, node) > 1) & there
            asked = int(undecided.sum(1).max())
            order = undecided.int().argsort(dim=1, descending=True, stable=True)
            parent, code, node, score, *members = (
                values.gather(1, order) for values in (parent, code, node, score, *members)
            )
        hypotheses.extend(parent[:, :asked], code[:, :asked])
    return [_items(beam, options, constraint, width) for beam in beams]


@dataclass(frozen=True)
class _Best:
    place: Tensor  # int64 [B, n]: index in the flattened candidates; their number, where there are fewer
    score: Tensor  # float32 [B, n], best first


def _best(candidate: Tensor, options: Continuations, member: Tensor, is_open: Tensor | None, width: int) -> _Best:
    """The best of ``candidate`` ``[B, Q, C]`` among those that go on from ``member`` hypotheses to open nodes."""
    allowed = member.unsqueeze(2)
    if is_open is not None:
        leads_on = is_open.expand(len(candidate), -1).gather(1, options.child.flatten(1))
        allowed = allowed & leads_on.view_as(candidate)
    total = candidate[0].numel()
    score, place = candidate.masked_fill(~allowed, -torch.inf).flatten(1).topk(min(width, total), dim=1)
    return _Best(place.masked_fill(score == -torch.inf, total), score)


def _union(places: list[Tensor], none: int) -> Tensor:
    """What any of ``places`` holds, once each; padded with ``none``, the largest value."""
    if len(places) == 1:
        return places[0]
    every = torch.cat(places, 1).sort(1).values
    repeated = functional.pad(every[:, 1:] == every[:, :-1], (1, 0))
    every = every.masked_fill(repeated, none).sort(1).values
    return every[:, : int((every < none).sum(1).max())]


def _items(beam: _Best, options: Continuations, constraint: Constraint, width: int) -> Beam:
    total = options.child[0].numel()
    leaf = options.child.flatten(1).gather(1, beam.place.clamp_max(total - 1))
    items, order = constraint.leaf_item[leaf].masked_fill(beam.place == total, -1).sort(dim=1)
    # Equal scores by item; what is missing scores −inf and comes last.
    score, by_score = beam.score.gather(1, order).sort(dim=1, descending=True, stable=True)
    missing = (0, width - items.shape[1])
    return Beam(
        functional.pad(items.gather(1, by_score), missing, value=-1), functional.pad(score, missing, value=-torch.inf)
    )


@torch.no_grad()
def item_log_probabilities(model: S2GR, memory: Memory, constraint: Constraint, items: Tensor) -> Tensor:
    """Exact ``log p(item)`` of given items ``[B, Q]``: ``[B, Q]``. Teacher-forced, without cache or beam."""
    logits = model.decode(memory.widened(items.shape[1]), items).logits
    levels = constraint.following(logits.flatten(0, 1), items.flatten())
    return torch.stack([level.own_log_probability for level in levels]).sum(0).view_as(items)
