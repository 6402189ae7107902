"""Training histories, packed: a window of a user's sequence serves every target in it with one encoder pass.

A user with more training items than a window holds gets several windows, which overlap by half, so that every target
has at least half a window of history and is trained on once per epoch. The first cut is drawn anew each epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s2gr.sequences import Sequences

IntArray = npt.NDArray[np.int64]


# Not frozen: under mixed precision, Fabric rebuilds what a model is called with field by field.
@dataclass
class Batch:
    """Targets of several windows; padding is −1."""

    items: Tensor  # int64 [B, T]: the histories, oldest first
    position: Tensor  # int64 [B, Q]: index in ``items`` of the item before the target
    targets: Tensor  # int64 [B, Q]

    def to(self, device: torch.device | str) -> Batch:
        return Batch(self.items.to(device), self.position.to(device), self.targets.to(device))


def packed_batches(training: Sequences, history: int, batch_size: int, seed: int) -> list[Batch]:
    """One epoch: every training target once, windows of similar length together, about ``batch_size`` targets each.

    Args:
        training: sequences of the training split alone.
        history: most items that the encoder reads.
        seed: of this epoch; decides cuts and order.
    """
    generator = np.random.default_rng(seed)
    start, first, end = _windows(training.offsets, history, generator)
    # Similar shapes together; the noise lets neighbours change from epoch to epoch.
    order = np.lexsort((generator.random(len(start)), end - start, end - first))
    targets = (end - first)[order]
    # A batch ends where its padded size (windows × most targets of one) would exceed the budget.
    batches, begin = [], 0
    while begin < len(order):
        width = np.maximum.accumulate(targets[begin : begin + batch_size])
        padded = width * np.arange(1, len(width) + 1)
        count = max(1, int(np.searchsorted(padded, batch_size, side="right")))
        rows = order[begin : begin + count]
        batches.append(_pack(training.items, start[rows], first[rows], end[rows]))
        begin += count
    return [batches[index] for index in generator.permutation(len(batches))]


def _windows(offsets: IntArray, history: int, generator: np.random.Generator) -> tuple[IntArray, IntArray, IntArray]:
    """For each window: its first history item, its first target, and the end of its targets, as event indices."""
    lengths = np.diff(offsets)
    stride = max(1, history // 2)
    # The first window of a user ends `cut` targets in; a short sequence is one window.
    cut = generator.integers(stride, min(2 * stride, history) + 1, len(lengths))
    cut = np.where(lengths - 1 > history, cut, lengths - 1)
    counts = np.where(lengths < 2, 0, 1 + -(-(lengths - 1 - cut) // stride))
    user = np.repeat(np.arange(len(lengths)), counts)
    index = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = np.where(index == 0, 1, 1 + cut[user] + (index - 1) * stride)
    end = np.minimum(1 + cut[user] + index * stride, lengths[user])
    # The last target's history is the longest: it may reach back `history` items.
    start = np.maximum(0, end - 1 - history)
    base = offsets[:-1][user]
    return base + start, base + first, base + end


def _pack(events: npt.NDArray[np.int32], start: IntArray, first: IntArray, end: IntArray) -> Batch:
    read = end - 1 - start  # the last target is no history
    columns = start[:, None] + np.arange(read.max())
    items = np.where(columns < end[:, None] - 1, events[np.minimum(columns, len(events) - 1)], -1)
    aims = first[:, None] + np.arange((end - first).max())
    there = aims < end[:, None]
    targets = np.where(there, events[np.minimum(aims, len(events) - 1)], -1)
    position = np.where(there, aims - 1 - start[:, None], 0)
    return Batch(*(torch.from_numpy(array.astype(np.int64)) for array in (items, position, targets)))
