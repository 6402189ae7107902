"""Does the thought matter? The trained network decodes with its thoughts taken away or mixed up, at test time only.

- ``zeroed``: every thought is the zero vector;
- ``shuffled``: every thought is another user's, drawn anew for each thought, so that a user's thoughts do not fit
  together;
- ``swapped``: a user thinks what their neighbour in the batch thinks, at every step: a coherent line of thought, but
  someone else's.

A network whose ranking survives all three does not use its thoughts, whatever its accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from s2gr.cases import Cases
from s2gr.evaluation.ranking import FILTERS, Ranked, ranked
from s2gr.reasoner.model import S2GR
from s2gr.reasoner.recommender import Recommender

INTERVENTIONS = ("zeroed", "shuffled", "swapped")

# What stands instead of thoughts [B, Q, D]; users are the first axis.
Alter = Callable[[Tensor], Tensor]


def can_intervene(model: S2GR) -> bool:
    """Whether the network has thoughts to take away (pauses are none: they are the same for everybody)."""
    return model.schedule.feeds_back


@contextmanager
def intervened(model: S2GR, intervention: str, seed: int) -> Iterator[None]:
    """Within the block the network's thoughts are altered: one of ``INTERVENTIONS``."""
    alter, original = _alteration(intervention, seed), model.think

    def think(output: Tensor, index: int) -> Tensor:
        return alter(original(output, index))

    model.think = think  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.think


def rank_intervened(
    recommender: Recommender, cases: Cases, intervention: str, k: int, beam: int, batch_size: int, seed: int
) -> dict[str, Ranked]:
    """Each ranking of the altered network, of the same cases."""
    # Batches of nearly one size: a batch of one user would have nobody to swap with.
    parts = np.array_split(np.arange(len(cases)), -(-len(cases) // batch_size))
    lists: dict[str, list[dict[str, np.ndarray]]] = {}
    with intervened(recommender.model, intervention, seed):
        for rows in parts:
            batch = cases.take(rows)
            filters = [None, recommender.excluded(batch.seen())]
            found = recommender.rankings_under(filters, batch.histories, batch.lengths, k, beam)
            # v_g is read from the encoder, before any thought.
            for name in sorted(set(found[0]) - {"interest"}):
                pair = [rankings[name].items for rankings in found]
                lists.setdefault(name, []).append(dict(zip(FILTERS, pair, strict=True)))
    return {name: ranked(batches, cases.targets) for name, batches in lists.items()}


def _alteration(intervention: str, seed: int) -> Alter:
    if intervention == "zeroed":
        return torch.zeros_like
    if intervention == "swapped":
        return lambda thoughts: thoughts.roll(1, 0)
    assert intervention == "shuffled"
    generator = torch.Generator().manual_seed(seed)

    def shuffled(thoughts: Tensor) -> Tensor:
        order = torch.randperm(len(thoughts), generator=generator)
        return thoughts[order.to(thoughts.device)]

    return shuffled
