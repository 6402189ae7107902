"""Prefixes of semantic IDs as numbers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


def prefix_ids(codes: IntArray, size: int) -> IntArray:
    """One number for each row of codes ``[items, l]``, read as digits to the base ``size``; 0 for no digits."""
    numbers: IntArray = codes @ (size ** np.arange(codes.shape[1] - 1, -1, -1, dtype=np.int64))
    return numbers


def sorted_runs(numbers: IntArray) -> tuple[IntArray, IntArray]:
    """The rows of ``numbers`` in stable order of their values, and where each run of equal ones starts in them."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(numbers) else np.zeros(0, np.int64)
    return order, starts


def rank_in_group(groups: IntArray) -> IntArray:
    """How many rows before it belong to the group of each row."""
    order, starts = sorted_runs(groups)
    ranks = np.empty(len(groups), np.int64)
    ranks[order] = np.arange(len(groups)) - np.repeat(starts, np.diff(np.r_[starts, len(groups)]))
    return ranks
