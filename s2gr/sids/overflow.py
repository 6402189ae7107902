"""Items that do not fit under their prefix move to the nearest one with room (docs/method.md §3).

Level by level, from the first: a prefix of ``l`` codes has room for ``K^(L−l)`` items. From one that holds more, those
leave that lose least, each to another code of this level after the same codes before, so that as many leading codes
as possible stay. There is room for all of them, as the level before has seen to it.

In rounds: each overfull prefix offers as many items as it holds too many, those with the least loss in squared
distance; each prefix with room takes the cheapest that are offered to it. Who is refused offers itself to its next
nearest. This is a greedy heuristic. The least possible total is a transportation problem, whose exact solution would
cost far more than the few items that overflow are worth.
"""

from __future__ import annotations

import numpy as np

from s2gr.embeddings import Matrix
from s2gr.sids.grid import Grid
from s2gr.sids.prefixes import IntArray, prefix_ids, rank_in_group

# So many of the nearest prefixes with room are looked up for an item at first, and so many when these have filled up.
_FIRST, _NEXT = 4, 32


def reroute(latent: Matrix, codes: IntArray, taken: IntArray, grid: Grid, chunk: int) -> None:
    """Change ``codes`` ``[items, L]`` in place until no prefix holds more items than it has room for.

    A moved item's later codes are its nearest ones under the new prefix.

    Args:
        latent: float32 ``[items, D]``.
        taken: int64 ``[others, L]``, codes of items that stay where they are.
        chunk: rows worked on at a time.
    """
    levels = codes.shape[1]
    for level in range(levels - 1):
        moved = _Siblings(latent, codes, taken, grid, level, chunk).spread()
        for start in range(0, len(moved), chunk):
            rows = moved[start : start + chunk]
            for later in range(level + 1, levels):
                residuals = grid.residuals(latent[rows], codes[rows, :later])
                codes[rows, later] = grid.distances(residuals, later).argmin(1)


class _Siblings:
    """The overfull prefixes that end at one level, their items, and the room beside them.

    ``R`` items are in overfull prefixes, ``P`` prefixes are the parents of these. A prefix is numbered
    ``parent · K + code``.
    """

    def __init__(self, latent: Matrix, codes: IntArray, taken: IntArray, grid: Grid, level: int, chunk: int) -> None:
        self.latent, self.codes, self.grid, self.level, self.chunk = latent, codes, grid, level, chunk
        self.size = grid.vectors.shape[1]
        capacity = self.size ** (codes.shape[1] - level - 1)
        parents = prefix_ids(codes[:, :level], self.size)
        taken_parents = prefix_ids(taken[:, :level], self.size)
        numbers, held = np.unique(
            np.concatenate([parents * self.size + codes[:, level], taken_parents * self.size + taken[:, level]]),
            return_counts=True,
        )
        known = np.unique(numbers[held > capacity] // self.size)
        relevant = np.isin(numbers // self.size, known)
        room = np.full(len(known) * self.size, capacity, np.int64)
        room[np.searchsorted(known, numbers[relevant] // self.size) * self.size + numbers[relevant] % self.size] -= (
            held[relevant]
        )
        # int64 [P · K], negative where a prefix holds too many.
        self.room = room
        inside = np.flatnonzero(np.isin(parents, known))
        own = np.searchsorted(known, parents[inside]) * self.size + codes[inside, level]
        crowded = room[own] < 0
        # int64 [R] each: rows of the items, and the numbers of their prefixes.
        self.rows, self.own = inside[crowded], own[crowded]
        # [R, _NEXT]: codes with room, nearest first, and what the item would lose there.
        self.options = np.zeros((len(self.rows), _NEXT), np.int32)
        self.losses = np.zeros((len(self.rows), _NEXT))
        # int64 [R] each: how many options the item has, and how many of these it has tried.
        self.known, self.tried = np.zeros((2, len(self.rows)), np.int64)

    def spread(self) -> IntArray:
        """Move items until nothing is overfull; their rows, ascending."""
        moved = [np.zeros(0, np.int64)]
        waiting = np.arange(len(self.rows))
        self._look_up(waiting, _FIRST)
        while len(waiting):
            own, place = self.own[waiting], self.tried[waiting]
            code = self.options[waiting, place]
            goal = own - own % self.size + code
            order = np.argsort(self.losses[waiting, place], kind="stable")
            offered = order[rank_in_group(own[order]) < -self.room[own[order]]]
            accepted = offered[rank_in_group(goal[offered]) < self.room[goal[offered]]]
            self.codes[self.rows[waiting[accepted]], self.level] = code[accepted]
            moved.append(self.rows[waiting[accepted]])
            np.add.at(self.room, own[accepted], 1)
            np.subtract.at(self.room, goal[accepted], 1)
            remains = self.room[own] < 0
            remains[accepted] = False
            waiting = waiting[remains]
            self._look_further(waiting)
        return np.sort(np.concatenate(moved))

    def _look_further(self, waiting: IntArray) -> None:
        """Where an item's option has filled up, go on to its next one with room."""
        while len(waiting):
            code = self.options[waiting, self.tried[waiting]]
            own = self.own[waiting]
            waiting = waiting[self.room[own - own % self.size + code] <= 0]
            self.tried[waiting] += 1
            exhausted = waiting[self.tried[waiting] == self.known[waiting]]
            self._look_up(exhausted, _NEXT)
            waiting = np.setdiff1d(waiting, exhausted, assume_unique=True)

    def _look_up(self, waiting: IntArray, count: int) -> None:
        """Fill in the ``count`` nearest prefixes with room, of equally near ones the first, as options."""
        for start in range(0, len(waiting), self.chunk):
            part = waiting[start : start + self.chunk]
            rows, own = self.rows[part], self.own[part] % self.size
            residuals = self.grid.residuals(self.latent[rows], self.codes[rows, : self.level])
            distances = self.grid.distances(residuals, self.level)
            each = np.arange(len(part))
            distances -= distances[each, own][:, None]
            room = self.room.reshape(-1, self.size)[self.own[part] // self.size]
            distances[room <= 0] = np.inf
            for place in range(count):
                nearest = distances.argmin(1)
                self.options[part, place], self.losses[part, place] = nearest, distances[each, nearest]
                distances[each, nearest] = np.inf
        self.known[waiting], self.tried[waiting] = count, 0
