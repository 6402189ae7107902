"""Semantic IDs without collisions: the last code is re-assigned inside each crowded prefix (docs/method.md §3).

The first L−1 codes of an item are its nearest ones. Inside a prefix whose items share last codes, all its items are
matched to distinct last codes at minimum total distance (linear sum assignment). A prefix with more items than codes
first sends those that lose least to the nearest prefix with room.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from s2gr.embeddings import Matrix
from s2gr.errors import UserError

IntArray = npt.NDArray[np.int64]

# Candidate prefixes compared with an item at a time.
_PREFIX_CHUNK = 65_536


@dataclass(frozen=True)
class Assignment:
    """Unique codes, and what uniqueness cost."""

    codes: IntArray  # [items, L], rows unique
    moved: int  # items whose codes are not their nearest ones
    rerouted: int  # of these, items that had to leave their prefix
    extra_distance: float  # mean squared latent distance added to a moved item


def assign(latent: Matrix, nearest: IntArray, vectors: Matrix) -> Assignment:
    """Turn nearest codes into unique ones.

    Args:
        latent: float32 ``[items, D]``.
        nearest: int64 ``[items, L]``, each level's nearest code.
        vectors: float32 ``[L, K, D]``.

    Raises: UserError: if there are more items than semantic IDs (``K^L``).
    """
    levels, size, _ = vectors.shape
    if len(latent) > size**levels:
        raise UserError(
            f"{len(latent)} items do not fit into {size}^{levels} semantic IDs; raise codebook.codes or codebook.levels"
        )
    codes = nearest.copy()
    rerouted = _reroute(latent, codes, vectors)
    prefixes = prefix_ids(codes[:, :-1], size)
    order = np.argsort(prefixes, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(prefixes[order]) != 0])
    for rows in np.split(order, starts[1:]):
        if len(np.unique(codes[rows, -1])) < len(rows):
            cost = _last_distances(latent[rows], codes[rows], vectors)
            codes[rows, -1] = linear_sum_assignment(cost)[1]
    moved = np.flatnonzero((codes != nearest).any(1))
    extra = _error(latent[moved], codes[moved], vectors) - _error(latent[moved], nearest[moved], vectors)
    return Assignment(codes, len(moved), rerouted, float(extra.mean()) if len(moved) else 0.0)


def prefix_ids(codes: IntArray, size: int) -> IntArray:
    """One number for each row of codes ``[items, l]``, read as digits to the base ``size``."""
    numbers: IntArray = codes @ (size ** np.arange(codes.shape[1] - 1, -1, -1, dtype=np.int64))
    return numbers


def _reroute(latent: Matrix, codes: IntArray, vectors: Matrix) -> int:
    """Empty overfull prefixes in place, each item to the nearest prefix with room; how many items moved."""
    size = vectors.shape[1]
    numbers = prefix_ids(codes[:, :-1], size)
    values, counts = np.unique(numbers, return_counts=True)
    occupied = dict(zip(values.tolist(), counts.tolist(), strict=True))
    rerouted = 0
    for number in values[counts > size].tolist():
        rows = np.flatnonzero(numbers == number)
        own = _prefix_distances(latent[rows], np.asarray([number]), vectors)[:, 0]
        options = [_nearest_with_room(latent[row], int(number), occupied, vectors) for row in rows]
        loss = np.asarray([distance for distance, _ in options]) - own
        for position in np.argsort(loss, kind="stable")[: len(rows) - size]:
            row = rows[position]
            # An earlier move may have filled the prefix meanwhile.
            target = options[position][1]
            if occupied.get(target, 0) >= size:
                target = _nearest_with_room(latent[row], int(number), occupied, vectors)[1]
            codes[row, :-1] = _digits(np.asarray([target]), size, codes.shape[1] - 1)[0]
            occupied[target] = occupied.get(target, 0) + 1
            occupied[number] -= 1
            rerouted += 1
    return rerouted


def _nearest_with_room(point: Matrix, number: int, occupied: dict[int, int], vectors: Matrix) -> tuple[float, int]:
    """The nearest prefix with room, among those that share most of ``number``'s digits: distance and prefix."""
    levels, size, _ = vectors.shape
    for free in range(1, levels):
        base = number - number % size**free
        best = (np.inf, -1)
        for start in range(0, size**free, _PREFIX_CHUNK):
            numbers = np.arange(base + start, base + min(start + _PREFIX_CHUNK, size**free))
            distances = _prefix_distances(point[None], numbers, vectors)[0]
            full = [index for index, value in enumerate(numbers.tolist()) if occupied.get(value, 0) >= size]
            distances[full] = np.inf
            index = int(distances.argmin())
            best = min(best, (float(distances[index]), int(numbers[index])))
        if np.isfinite(best[0]):
            return best
    raise AssertionError("unreachable: K^L ids hold every item")


def _digits(numbers: IntArray, size: int, count: int) -> IntArray:
    powers = size ** np.arange(count - 1, -1, -1, dtype=np.int64)
    digits: IntArray = numbers[:, None] // powers % size
    return digits


def _prefix_distances(points: Matrix, numbers: IntArray, vectors: Matrix) -> Matrix:
    digits = _digits(numbers, vectors.shape[1], len(vectors) - 1)
    sums = vectors[np.arange(len(vectors) - 1), digits].sum(1)
    return _pairwise(points, sums)


def _last_distances(points: Matrix, codes: IntArray, vectors: Matrix) -> Matrix:
    """Squared distance of each item's last residual to every last code: ``[items, K]``."""
    prefix = vectors[np.arange(len(vectors) - 1), codes[:, :-1]].sum(1)
    return _pairwise(points - prefix, vectors[-1])


def _pairwise(rows: Matrix, columns: Matrix) -> Matrix:
    distances: Matrix = (rows**2).sum(1)[:, None] - 2 * rows @ columns.T + (columns**2).sum(1)
    return distances


def _error(latent: Matrix, codes: IntArray, vectors: Matrix) -> Matrix:
    error: Matrix = ((latent - vectors[np.arange(len(vectors)), codes].sum(1)) ** 2).sum(1)
    return error
