"""Baselines without training: popularity and item-kNN here, the graph walks in :mod:`s2gr.walk`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from s2gr.evaluation.ranking import FILTERS, Items, Lists
from s2gr.reasoner.top import top_items
from s2gr.sequences import Sequences
from s2gr.walk import dense_product, tie_break


class Popularity:
    """Every user gets the items with the most training events; equally popular ones go by item index."""

    def __init__(self, counts: npt.NDArray[np.integer]) -> None:
        self._order = torch.from_numpy(np.argsort(-counts, kind="stable"))

    def lists(self, seen: Tensor, k: int) -> Lists:
        """Args: ``seen``: bool ``[B, items]``."""
        # However many of the first items a user knows, k others are among so many.
        few = self._order[: k + int(seen.sum(1).max())]
        place = -torch.arange(len(few), dtype=torch.float32).expand(len(seen), -1)
        _, best = top_items(place.masked_fill(seen[:, few], -torch.inf), k)
        unseen = few[best.clamp_min(0)].masked_fill(best < 0, -1)
        everything = self._order[:k].expand(len(seen), -1)
        return dict(zip(FILTERS, (everything.numpy(), unseen.numpy()), strict=True))


@dataclass(frozen=True)
class KnnSettings:
    # Nearest neighbours kept of each item.
    neighbours: int = 100
    # Added to the denominator of the cosine: few common users make no neighbour.
    shrinkage: float = 10.0


# Items whose neighbours are sought at once.
_BLOCK = 512


class ItemKNN:
    """Items that the same users have: cosine on the binary user–item matrix of the training events, shrunk.

    ``sim(i, j) = |U_i ∩ U_j| / (√(|U_i| |U_j|) + shrinkage)``; an item's score is the sum of its similarities to the
    items of the history; popularity breaks ties.
    """

    def __init__(self, sequences: Sequences, settings: KnnSettings | None = None) -> None:
        settings = settings or KnnSettings()
        training = sequences.training()
        shape = (training.n_users, training.n_items)
        users = sparse.csr_array((np.ones(len(training.items), np.float32), (training.users, training.items)), shape)
        users.sum_duplicates()
        users.data[:] = 1.0
        popularity = np.asarray(users.sum(axis=0), np.float32).ravel()
        items = sparse.csr_array(users.T)
        # All pairs of items at once would take memory that grows with the square of the histories.
        self._similar = sparse.csr_array(
            sparse.vstack(
                [
                    _nearest(items[start : start + _BLOCK] @ users, start, popularity, settings)
                    for start in range(0, training.n_items, _BLOCK)
                ]
            )
        )
        self._tie_break = tie_break(popularity)

    def scores(self, histories: Items, lengths: Items) -> npt.NDArray[np.float32]:
        """Float32 ``[batch, items]`` of histories ``[batch, width]``, of which the first ``lengths`` entries count."""
        inside = np.arange(histories.shape[1]) < lengths[:, None]
        rows = np.repeat(np.arange(len(histories)), lengths)
        shape = (len(histories), self._similar.shape[0])
        met = sparse.csr_array((np.ones(len(rows), np.float32), (rows, histories[inside])), shape)
        met.sum_duplicates()
        met.data[:] = 1.0
        return dense_product(met, self._similar) + self._tie_break


def _nearest(
    common: sparse.csr_array, start: int, popularity: npt.NDArray[np.float32], settings: KnnSettings
) -> sparse.csr_array:
    """The similarities to keep ``[rows, items]``, of the numbers of common users of the items from ``start`` on."""
    pairs = sparse.coo_array(common)
    different = pairs.row + start != pairs.col
    rows, columns, values = pairs.row[different], pairs.col[different], pairs.data[different]
    values = values / (np.sqrt(popularity[rows + start] * popularity[columns]) + np.float32(settings.shrinkage))
    # Of each row the most similar ones, equally similar ones by index.
    order = np.lexsort((columns, -values, rows))
    counts = np.bincount(rows, minlength=common.shape[0])
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = order[place < settings.neighbours]
    return sparse.csr_array((values[kept].astype(np.float32), (rows[kept], columns[kept])), shape=common.shape)
