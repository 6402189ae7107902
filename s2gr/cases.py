"""The cases of both protocols (docs/method.md, §6): a history, what came next, and what was seen before.

The target of a user is their first event of the split; everything earlier is history, so the test history holds what
the user did in the validation split. Leave-one-out has one such event per user. Under a global time split a user may do
much after the cut: their first step counts, so that every user weighs the same and a bootstrap over users stays one
over cases. All users with a training history count, the whole catalogue is ranked, nothing is sampled. The reasoner
validates on such cases, the evaluation tests on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from s2gr.errors import UserError
from s2gr.sequences import SPLITS, TRAIN, Sequences

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cases:
    """One case per target event; items are rows of ``items.parquet``."""

    # [cases], the target's place in Sequences.items
    events: Integers
    # [cases], indices into Sequences.user_ids
    users: Integers
    # [cases, width], oldest first, padded with −1 at the end
    histories: Integers
    # [cases], how many entries of a history count
    lengths: Integers
    # [cases]
    targets: Integers
    # CSR of everything the user met before the target, however long ago: [cases + 1] and [all of it]
    seen_offsets: Integers
    seen_items: Integers

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def last_items(self) -> Integers:
        """The item right before the target, int64 ``[cases]``; −1 without a history."""
        positions = np.maximum(self.lengths - 1, 0)[:, None]
        return np.take_along_axis(self.histories, positions, axis=1)[:, 0]

    def seen(self) -> list[Integers]:
        """The seen items of each case."""
        return np.split(self.seen_items, self.seen_offsets[1:-1])

    def batches(self, size: int) -> Iterator[Cases]:
        """The cases in order, at most ``size`` at a time."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self))))

    def take(self, rows: Integers) -> Cases:
        """The cases at ``rows``, in that order."""
        counts = np.diff(self.seen_offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
        seen_items = self.seen_items[np.repeat(self.seen_offsets[rows], counts) + within]
        return Cases(
            self.events[rows],
            self.users[rows],
            self.histories[rows],
            self.lengths[rows],
            self.targets[rows],
            offsets,
            seen_items,
        )

    def by_length(self) -> Cases:
        """The same cases, the shortest histories first: a batch of equally long ones wastes nothing on padding."""
        return self.take(np.argsort(self.lengths, kind="stable"))

    def sample(self, size: int, seed: int) -> Cases:
        """At most ``size`` cases, drawn without replacement, in their order."""
        if len(self) <= size:
            return self
        return self.take(np.sort(np.random.default_rng(seed).choice(len(self), size, replace=False)))


def build_cases(sequences: Sequences, split: str, history: int) -> Cases:
    """A case for each user with training events and events of ``split`` (``validation`` or ``test``).

    Args:
        history: most items of a case's history.

    Raises: UserError: if there is none.
    """
    events = np.flatnonzero(sequences.split == SPLITS.index(split))
    users, first = np.unique(sequences.users[events], return_index=True)
    # A user's events are in order of time: who has trained at all has done so first.
    trained = sequences.split[sequences.offsets[users]] == TRAIN
    users, events = users[trained].astype(np.int64), events[first[trained]]
    if not len(events):
        raise UserError(
            f"data/events.parquet: expected {split} events, found none of a user with training events: no user has 3 "
            "events or more (lower events.k_core, or give a longer log), or under `events.split: temporal` nobody was "
            "there both before and after the cut (raise events.held_out)"
        )
    targets = sequences.items[events].astype(np.int64)
    return cases_before(events, users, targets, sequences.items, sequences.offsets[users], events, history)


def cases_before(
    events: Integers,
    users: Integers,
    targets: Integers,
    items: npt.NDArray[np.integer],
    starts: Integers,
    ends: Integers,
    history: int,
) -> Cases:
    """The cases of which ``items[start:end]`` is what was met before; the rest as :class:`Cases` has it.

    Args:
        history: most items of a case's history.
    """
    before = ends - starts
    lengths = np.minimum(before, history)
    columns = np.arange(history)
    positions = (ends - lengths)[:, None] + columns
    # The event at the position, or −1 from the target on.
    inside = columns < lengths[:, None]
    histories = np.full(inside.shape, -1, np.int64)
    histories[inside] = items[positions[inside]]
    seen_offsets = np.concatenate([[0], np.cumsum(before)])
    within = np.arange(seen_offsets[-1]) - np.repeat(seen_offsets[:-1], before)
    seen_items = items[np.repeat(starts, before) + within].astype(np.int64)
    return Cases(events, users, histories, lengths, targets, seen_offsets, seen_items)
