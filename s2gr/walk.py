"""A training-free walk over the items that followed one another in training: the baseline that has to be beaten.

Of a history it takes the last few items, the latest weighing most, and goes one and two steps along the transition
probabilities of the training sequences; popularity breaks ties. How many items, how much each weighs and how much the
second step does is chosen on validation (`reasoner/choosing.py`). On this kind of data it ranks above many trained
models, so it is a control in the evaluation and a source of evidence for the reasoner's fused ranking.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file
from scipy import sparse

if TYPE_CHECKING:
    from s2gr.sequences import Sequences

# Positions to either side that count as neighbours in the undirected walk.
UNDIRECTED_WINDOW = 3
# Times popularity in [0, 1]: far below most differences of scores. Float32 tells 6e-8 apart at a score of .5 to 1: of
# equal scores there, items whose popularity differs by less than 6 % of the most popular one's go by index.
_TIE_BREAK = 1e-6
# Histories whose walks are summed at a time: their steps should fit the processor's cache.
_BLOCK = 16


@dataclass(frozen=True)
class WalkWeights:
    """Where walks start, and how much the second step counts."""

    # Of an item relative to the one after it: 1, decay, decay², …
    decay: float = 0.6
    # Items of the history, from the last one back.
    items: int = 3
    # Relative to the first step.
    second_step: float = 0.3

    @property
    def recency(self) -> npt.NDArray[np.float32]:
        """Of the last item, the last but one, …: float32 ``[items]``."""
        return np.float32(self.decay) ** np.arange(self.items, dtype=np.float32)


# What validation chooses from, for S²GR and for the baselines beside it.
GRID = [
    WalkWeights(decay, items, second_step)
    for decay, items, second_step in product((0.2, 0.3, 0.4, 0.6), (1, 3, 5), (0.0, 0.3, 0.5, 0.8))
]


@dataclass(frozen=True)
class WalkCounts:
    """What both walks know of the training events: all that a recommender needs of them."""

    # float32 CSR [items, items]: how often the column's item was the next one after the row's.
    directed: sparse.csr_array
    # The same, symmetric, of items at most UNDIRECTED_WINDOW positions apart.
    undirected: sparse.csr_array
    # float32 [items]: training events.
    popularity: npt.NDArray[np.float32]

    @staticmethod
    def of(sequences: Sequences) -> WalkCounts:
        """Count the training events of ``sequences``."""
        training = sequences.training()
        popularity = np.bincount(training.items, minlength=sequences.n_items).astype(np.float32)
        neighbours = _pair_counts(training, UNDIRECTED_WINDOW)
        return WalkCounts(_pair_counts(training, 1), sparse.csr_array(neighbours + neighbours.T), popularity)

    def with_items(self, items: int) -> WalkCounts:
        """The same for ``items`` items, of which the last ones have no events yet."""
        shape, added = (items, items), items - len(self.popularity)
        directed, undirected = (
            sparse.csr_array((m.data, m.indices, np.pad(m.indptr, (0, added), mode="edge")), shape)
            for m in (self.directed, self.undirected)
        )
        return WalkCounts(directed, undirected, np.pad(self.popularity, (0, added)))

    def save(self, path: Path) -> None:
        """Write safetensors: ``popularity``, and ``indptr``, ``indices`` and ``data`` of both matrices."""
        tensors = {"popularity": self.popularity}
        for name, matrix in (("directed", self.directed), ("undirected", self.undirected)):
            tensors[f"{name}.indptr"] = matrix.indptr.astype(np.int64)
            tensors[f"{name}.indices"] = matrix.indices.astype(np.int32)
            tensors[f"{name}.data"] = matrix.data
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)

    @staticmethod
    def load(path: Path) -> WalkCounts:
        """Read what :meth:`save` wrote."""
        tensors = load_file(path)
        popularity = tensors["popularity"]
        directed, undirected = (
            sparse.csr_array(
                tuple(tensors[f"{name}.{part}"] for part in ("data", "indices", "indptr")), (len(popularity),) * 2
            )
            for name in ("directed", "undirected")
        )
        return WalkCounts(directed, undirected, popularity)


class GraphWalk:
    """Scores every item for a batch of histories; knows the training events alone.

    Args:
        counts: float32 CSR ``[items, items]``, how often a step from the row's item to the column's occurred.
        popularity: float32 ``[items]``, training events.
    """

    def __init__(
        self, counts: sparse.csr_array, popularity: npt.NDArray[np.float32], weights: WalkWeights | None = None
    ) -> None:
        self.weights, self.counts = weights or WalkWeights(), counts
        totals = np.asarray(counts.sum(axis=1), dtype=np.float32).ravel()
        inverse = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0)
        self._steps = sparse.csr_array(sparse.diags_array(inverse) @ counts, dtype=np.float32)
        # Arrived after one step, a walk stays or goes one further: I + second_step · P.
        stays = sparse.eye_array(counts.shape[0], dtype=np.float32, format="csr")
        self._onward = sparse.csr_array(stays + np.float32(self.weights.second_step) * self._steps)
        self._tie_break = tie_break(popularity)

    def scores(self, histories: npt.NDArray[np.integer], lengths: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Score all items for each history.

        Args:
            histories: item rows ``[batch, width]``, oldest first, padded at the end.
            lengths: ``[batch]``, how many entries of each row count.

        Returns: float32 ``[batch, items]``: at most ``sum(recency) * (1 + second_step)``, above 0 where a walk arrives
            or the item is known from training.
        """
        scores = np.empty((len(histories), self._steps.shape[0]), np.float32)
        for start in range(0, len(histories), _BLOCK):
            block = slice(start, start + _BLOCK)
            arrived = self._start(np.asarray(histories[block]), np.asarray(lengths[block])) @ self._steps
            scores[block] = dense_product(arrived, self._onward)
        scores += self._tie_break
        return scores

    def _start(self, histories: npt.NDArray[np.integer], lengths: npt.NDArray[np.integer]) -> sparse.csr_array:
        """Where the walks begin: float32 CSR ``[batch, items]`` with the recency weights."""
        batch = len(histories)
        recency = self.weights.recency
        # [batch, items of the start]: the positions of the latest items, negative where the history is shorter.
        positions = lengths[:, None] - 1 - np.arange(len(recency))
        exists = positions >= 0
        items = np.take_along_axis(histories, np.maximum(positions, 0), axis=1)[exists]
        rows = np.broadcast_to(np.arange(batch)[:, None], positions.shape)[exists]
        weights = np.broadcast_to(recency, positions.shape)[exists]
        return sparse.csr_array((weights, (rows, items)), shape=(batch, self._steps.shape[0]))


def tie_break(popularity: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What popularity, training events ``[items]``, adds to scores so that equal ones go by it."""
    return _TIE_BREAK * popularity / max(popularity.max(initial=0.0), 1.0)


def dense_product(rows: sparse.csr_array, matrix: sparse.csr_array) -> npt.NDArray[np.float32]:
    """``rows @ matrix`` as a dense array: a third of the time that scipy's sparse product takes.

    The rows of ``matrix`` are lined up, weighted, as one sparse row with repeated columns, which ``toarray`` adds up.
    """
    steps = matrix[rows.indices]
    steps.data *= np.repeat(rows.data, np.diff(steps.indptr))
    lined_up = sparse.csr_array(
        (steps.data, steps.indices, steps.indptr[rows.indptr]), (rows.shape[0], matrix.shape[1])
    )
    dense: npt.NDArray[np.float32] = lined_up.toarray()
    return dense


def _pair_counts(training: Sequences, window: int) -> sparse.csr_array:
    """How often one item came 1 … ``window`` positions after another: float32 CSR ``[earlier, later]``."""
    before, after = [], []
    for distance in range(1, window + 1):
        same_user = training.users[:-distance] == training.users[distance:]
        before.append(training.items[:-distance][same_user])
        after.append(training.items[distance:][same_user])
    rows, columns = np.concatenate(before), np.concatenate(after)
    shape = (training.n_items, training.n_items)
    return sparse.csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
