"""Semantic IDs without collisions: the last code is re-assigned inside each crowded prefix (docs/method.md §3).

The first L−1 codes of an item are its nearest ones, unless its prefix overflows (:mod:`s2gr.sids.overflow`). Inside a
prefix whose items share last codes, all its items are matched to distinct last codes at minimum total distance (linear
sum assignment), which is optimal there. Codes that other items hold already stay theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from s2gr.embeddings import Matrix
from s2gr.errors import UserError
from s2gr.sids.grid import Grid, GridArray
from s2gr.sids.overflow import reroute
from s2gr.sids.prefixes import IntArray, prefix_ids, sorted_runs

# Items worked on at a time: what is O(items · codes) or O(items · dimensions) is never held for more.
CHUNK = 8192


@dataclass(frozen=True)
class Assignment:
    """Unique codes, and what uniqueness cost. Distances are squared, in the codebook's latent space."""

    codes: IntArray  # [items, L], rows unique
    moved: int  # items whose codes are not their nearest ones
    rerouted: int  # of these, items that had to leave their prefix
    extra_distance: float  # what moving added to an item's quantisation error: mean over the moved items
    mean_error: float  # mean quantisation error of all items with their nearest codes

    @property
    def extra_relative(self) -> float:
        """``extra_distance`` as a multiple of ``mean_error``; 0 where nothing is lost."""
        return self.extra_distance / self.mean_error if self.mean_error else 0.0


def assign(
    latent: Matrix, nearest: IntArray, vectors: Matrix, taken: IntArray | None = None, chunk: int = CHUNK
) -> Assignment:
    """Turn nearest codes into unique ones. The result does not hang on ``chunk``.

    Args:
        latent: float32 ``[items, D]``.
        nearest: int64 ``[items, L]``, each level's nearest code.
        vectors: float32 ``[L, K, D]``.
        taken: int64 ``[others, L]``, codes that other items have and keep.
        chunk: items worked on at a time.

    Raises: UserError: more items than semantic IDs (``K^L``), or a latent vector that is not finite.
    """
    levels, size, _ = vectors.shape
    taken = np.zeros((0, levels), np.int64) if taken is None else taken
    if len(latent) + len(taken) > size**levels:
        raise UserError(
            f"{len(latent) + len(taken)} items do not fit into {size}^{levels} semantic IDs; "
            "raise codebook.codes or codebook.levels"
        )
    grid = Grid.of(latent, vectors, chunk)
    codes = nearest.astype(np.int64, copy=True)
    reroute(latent, codes, taken, grid, chunk)
    _match_last_codes(latent, codes, taken, grid, chunk)
    moved = np.flatnonzero((codes != nearest).any(1))
    rerouted = int((codes[moved, :-1] != nearest[moved, :-1]).any(1).sum())
    error = _total_error(latent, nearest, vectors, np.arange(len(latent)), chunk)
    extra = _total_error(latent, codes, vectors, moved, chunk) - _total_error(latent, nearest, vectors, moved, chunk)
    return Assignment(codes, len(moved), rerouted, extra / max(len(moved), 1), error / max(len(latent), 1))


def _match_last_codes(latent: Matrix, codes: IntArray, taken: IntArray, grid: Grid, chunk: int) -> None:
    """Make the last codes distinct inside each prefix, in place, where they are not."""
    size = grid.vectors.shape[1]
    prefixes, taken_prefixes = prefix_ids(codes[:, :-1], size), prefix_ids(taken[:, :-1], size)
    rows = np.flatnonzero(np.isin(prefixes, _crowded(prefixes, codes, taken, size)))
    order, starts = sorted_runs(prefixes[rows])
    rows = rows[order]
    ends = np.r_[starts[1:], len(rows)]
    taken_order = np.argsort(taken_prefixes, kind="stable")
    held_from, held_to = (
        np.searchsorted(taken_prefixes, prefixes[rows[starts]], side, sorter=taken_order) for side in ("left", "right")
    )
    first = 0
    while first < len(starts):
        # As many whole prefixes as fit into a chunk, at least one.
        last = max(int(np.searchsorted(ends, starts[first] + chunk, "right")), first + 1)
        part = rows[starts[first] : ends[last - 1]]
        residuals = grid.residuals(latent[part], codes[part, :-1])
        distances = grid.distances(residuals, len(grid.vectors) - 1)
        for prefix in range(first, last):
            inside = slice(starts[prefix] - starts[first], ends[prefix] - starts[first])
            held = taken[taken_order[held_from[prefix] : held_to[prefix]], -1]
            if len(held):
                free = np.setdiff1d(np.arange(size), held)
                codes[part[inside], -1] = free[match(distances[inside][:, free])]
            else:
                codes[part[inside], -1] = match(distances[inside])
        first = last


def _crowded(prefixes: IntArray, codes: IntArray, taken: IntArray, size: int) -> IntArray:
    """The prefixes in which an item's last code is another item's too."""
    ids = prefixes * size + codes[:, -1]
    ordered = np.sort(ids)
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    return np.unique(np.concatenate([shared, np.intersect1d(ids, prefix_ids(taken, size))]) // size)


def match(cost: GridArray) -> IntArray:
    """The columns of the rows of ``cost`` ``[rows, columns]``, all distinct, at minimum total: int64 ``[rows]``."""
    rows, columns = cost.shape
    if 2 * rows < columns:
        return linear_sum_assignment(cost)[1]
    # Few columns are left over, so prices decide, and the solver takes two to four times longer to find them than when
    # it starts from good ones: those that would clear the market if all rows were alike. Rows without cost take the
    # columns that are left over, which makes the problem square, where prices don't change what is optimal.
    mean = cost.mean(0)
    price = np.rint(np.minimum(mean - np.partition(mean, rows - 1)[rows - 1], 0))
    square = np.zeros((columns, columns))
    square[:rows] = cost
    return linear_sum_assignment(square - price)[1][:rows]


def _total_error(latent: Matrix, codes: IntArray, vectors: Matrix, rows: IntArray, chunk: int) -> float:
    """``Σ ‖z − Σ_l e_l‖²`` over ``rows``."""
    total = 0.0
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        error = latent[part].astype(np.float64)
        for level in range(len(vectors)):
            error -= vectors[level][codes[part, level]]
        total += float(np.einsum("id,id->", error, error))
    return total
