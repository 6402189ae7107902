"""Why an item is recommended: the decoder's path to it, what it read on the way, and which source gave how much.

- *Thought*: what the thought before a code says of the clusters of codes, ``softmax_k(cos(t_l, c_{l,k}) / τ)``
  (docs/method.md §4.3), and the best items that go on from there with a code of a runner-up.
- *Attention*: on each item of the history, at the position that predicts the code (`path.py`).
- *Without*: the share of the item's score that is lost if that item were not in the history, all else alike. Attention
  says where the decoder looked, this what came of it.
- *Sources*: weight times probability of each source of the fused score; they sum to the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from s2gr.publish.names import Names
from s2gr.reasoner.decoding import Beam, beam_search, item_log_probabilities
from s2gr.reasoner.fusion import Evidence, Weights, beam_probabilities
from s2gr.reasoner.model import Memory
from s2gr.reasoner.recommender import BEAM, IntArray, Item, Recommended, Recommender
from s2gr.serve.path import Fork, Path, behind, follow, lead

# Clusters of a thought that are told.
_CLUSTERS = 3
SOURCES = {
    "sid": "SID beam",
    "interest": "interest vector",
    "walk": "directed walk",
    "walk_undirected": "undirected walk",
}


@dataclass(frozen=True)
class LedTo(Item):
    """An item that another cluster would have led to."""

    # Of its semantic ID, by the decoder.
    probability: float


@dataclass(frozen=True)
class Cluster:
    """What a thought says of one cluster of codes."""

    cluster: int
    # Empty on the last level, where few items are left.
    name: str
    probability: float
    # That go on with a code of it.
    items: int
    # Whether the item's own code is in it.
    chosen: bool
    # The best items that go on with a code of it, unless it is the chosen one.
    leads_to: list[LedTo]


@dataclass(frozen=True)
class Step:
    """One code of the item's semantic ID."""

    level: int  # from 1
    code: int
    name: str
    probability: float
    # Codes with which some item goes on from here.
    choices: int
    # The most probable clusters and the chosen one, most probable first; empty where the model does not think.
    thought: list[Cluster]
    # Of each item that was read; they sum to one.
    attention: list[float]


@dataclass(frozen=True)
class Source:
    """What one source gives to the score."""

    name: str
    weight: float
    probability: float
    contribution: float


@dataclass(frozen=True)
class Explanation(Recommended):
    """One recommended item, and why."""

    # Of its semantic ID, by the decoder: the product of the steps' probabilities.
    probability: float
    sources: list[Source]
    steps: list[Step]
    # Of each item that was read, oldest first: the mean attention of the steps, and the share of the score that is
    # lost without it (None where nothing else was read).
    attention: list[float]
    without: list[float] | None


def named(cluster: Cluster) -> str:
    """What a cluster holds, in few words."""
    return f"{cluster.name} ({counted(cluster.items)})" if cluster.name else counted(cluster.items)


def counted(items: int) -> str:
    return f"{items:,} item{'' if items == 1 else 's'}" if items else "no item goes on there"


def of_choices(codes: int) -> str:
    return f"{codes:,} choice{'' if codes == 1 else 's'}"


@torch.no_grad()
def explain(
    recommender: Recommender, names: Names, history: IntArray, k: int, exclude: IntArray, beam: int = BEAM
) -> list[Explanation]:
    """Rank as :meth:`Recommender.rank` does, and say why.

    Args:
        names: of the bundle that ``recommender`` was loaded from.
        history: rows of the catalogue, oldest first; at least one.
        exclude: rows that are not to come up.
    """
    user = (history[None], np.array([len(history)]))
    ranked = recommender.rank(*user, k, beam, [exclude])
    described = recommender.described(ranked)[0]
    if not described:
        return []
    items = torch.from_numpy(ranked.items[0][: len(described)]).to(recommender.device)
    memory, excluded = recommender.encode(*user), recommender.excluded([exclude])
    found = beam_search(recommender.model, memory, recommender.constraint, max(beam, k), excluded)
    path = follow(recommender, memory, items)
    sids = [best.sid for best in described]
    told = _Told(recommender, names, path, sids, _forks(recommender, path, items), user, excluded[0])
    weights, factors = _weights(recommender, user, items, excluded)
    sources = _evidence(recommender, memory, found, user)
    attention = torch.stack(path.attention).mean(0)
    without = _without(recommender, history[-recommender.model.params.history :], items, weights)
    return [
        Explanation(
            **vars(best),
            probability=float(torch.stack(path.probabilities)[:, index].prod()),
            sources=_sources(sources, weights, float(factors[index]), int(items[index])),
            steps=[told.step(index, level, code) for level, code in enumerate(best.sid)],
            attention=_shares(attention[index]),
            without=None if without is None else _shares(without[:, index]),
        )
        for index, best in enumerate(described)
    ]


class _Told:
    """The steps to the items, in words."""

    def __init__(
        self,
        recommender: Recommender,
        names: Names,
        path: Path,
        sids: Sequence[tuple[int, ...]],
        forks: dict[tuple[int, int], dict[int, Fork]],
        user: tuple[IntArray, IntArray],
        excluded: Tensor,
    ) -> None:
        self._recommender, self._names, self._path, self._forks, self._sids = recommender, names, path, forks, sids
        every = list(dict.fromkeys(fork for asked in forks.values() for fork in asked.values()))
        self._led = lead(recommender, *user, every, excluded)

    def step(self, index: int, level: int, code: int) -> Step:
        """The step of item ``index`` to its ``code`` of ``level`` (from 0)."""
        path = self._path
        return Step(
            level=level + 1,
            code=code,
            name=self._names.code(self._sids[index][: level + 1]),
            probability=float(path.probabilities[level][index]),
            choices=int(path.choices[level][index]),
            thought=self._thought(index, level, code) if level in path.clusters else [],
            attention=_shares(path.attention[level][index]),
        )

    def _thought(self, index: int, level: int, code: int) -> list[Cluster]:
        probabilities = self._path.clusters[level][index]
        own, forks = int(self._recommender.model.cluster[level][code]), self._forks[index, level]
        prefix = self._sids[index][:level]
        return [
            Cluster(
                cluster=cluster,
                name=self._names.cluster(prefix, cluster),
                probability=float(probabilities[cluster]),
                items=int(behind(self._recommender.model, (prefix, cluster)).sum()),
                chosen=cluster == own,
                leads_to=[self._led_to(*found) for found in self._led[forks[cluster]]] if cluster != own else [],
            )
            for cluster in sorted({own, *forks}, key=lambda cluster: -float(probabilities[cluster]))
        ]

    def _led_to(self, row: int, probability: float) -> LedTo:
        return LedTo(**vars(self._recommender.item(row)), probability=probability)


def _forks(recommender: Recommender, path: Path, items: Tensor) -> dict[tuple[int, int], dict[int, Fork]]:
    """For each item and level with a thought the most probable clusters but its own, and where they fork off."""
    model = recommender.model
    found: dict[tuple[int, int], dict[int, Fork]] = {}
    for level, probabilities in path.clusters.items():
        best = probabilities.topk(min(_CLUSTERS, probabilities.shape[1]), dim=1).indices.tolist()
        for index, (clusters, item) in enumerate(zip(best, items.tolist(), strict=True)):
            sid = tuple(model.codes[item].tolist())
            own = int(model.cluster[level][sid[level]])
            found[index, level] = {cluster: (sid[:level], cluster) for cluster in clusters if cluster != own}
    return found


def _weights(
    recommender: Recommender, user: tuple[IntArray, IntArray], items: Tensor, excluded: Tensor
) -> tuple[Weights, Tensor]:
    """The weights that the ranking used, and each item's factor for repeats: ``[Q]``."""
    if recommender.model.params.ranking == "beam":
        return Weights(), torch.ones(len(items))
    met, fusion = recommender.met(*user), recommender.fusion
    if bool(recommender.anew(met, excluded)):
        return fusion.unseen, torch.ones(len(items))
    return fusion.everything, torch.where(met[0, items], fusion.repeats, 1.0)


def _evidence(recommender: Recommender, memory: Memory, beam: Beam, user: tuple[IntArray, IntArray]) -> Evidence:
    if recommender.model.params.ranking == "beam":
        # Without the interest vector, which need not have been trained.
        alone = beam_probabilities(beam, len(recommender.item_ids))
        return Evidence(alone, *[torch.zeros_like(alone)] * 3)
    return recommender.evidence(memory, beam, *user)


def _sources(evidence: Evidence, weights: Weights, factor: float, item: int) -> list[Source]:
    """Those that have a weight."""
    found = []
    for name, told in SOURCES.items():
        weight, probability = getattr(weights, name), float(getattr(evidence, name)[0, item])
        if weight:
            found.append(Source(told, weight, probability, weight * factor * probability))
    return found


def _without(recommender: Recommender, read: IntArray, items: Tensor, weights: Weights) -> Tensor | None:
    """The share of each item's score that each item of the history makes: ``[T, Q]``; None if there is only one.

    The probability of a semantic ID is exact here, not the beam's, which may not hold the item.
    """
    if len(read) < 2:
        return None
    variants = np.stack([np.delete(read, place) for place in range(len(read))])
    whole = _exact_scores(recommender, read[None], items, weights)
    return 1 - _exact_scores(recommender, variants, items, weights) / whole.clamp_min(1e-12)


def _exact_scores(recommender: Recommender, histories: IntArray, items: Tensor, weights: Weights) -> Tensor:
    """``[B, Q]``: of items ``[Q]`` after each history ``[B, T]``."""
    user = (histories, np.full(len(histories), histories.shape[1]))
    memory, asked = recommender.encode(*user), items.expand(len(histories), -1)
    exact = Beam(asked, item_log_probabilities(recommender.model, memory, recommender.constraint, asked))
    return _evidence(recommender, memory, exact, user).fused(weights).gather(1, asked)


def _shares(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]
