"""Streams of events for the benchmark of drift: resampled users, and what has changed in the world.

Users are drawn whole, bursts and all, from a log (:class:`Population`); ``planted`` changes the newest of their events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from s2gr.sids.semantic_ids import read_codes
from s2gr.workspace import Workspace, read_table, write_table

NOTHING, MASS, UNKNOWN, CONTENT = SCENARIOS = ("nothing", "mass", "unknown", "content")

_UNKNOWN = 0.1
_SECOND = 1_000_000
_EPOCH = 1_600_000_000 * _SECOND

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """Users to draw from: their events in order, flat, and what the model knows of the items."""

    offsets: Integers
    items: Integers
    # Microseconds since the user's first event.
    times: Integers
    # Of the whole log, in microseconds.
    span: int
    item_ids: npt.NDArray[np.object_]
    # [items]: code 1, or −1 for the new ones.
    first_code: Integers


@dataclass(frozen=True)
class Stream:
    """Events in order of time."""

    users: Integers
    items: Integers
    times: Integers

    def take(self, rows: Any) -> Stream:
        return Stream(self.users[rows], self.items[rows], self.times[rows])

    def followed_by(self, later: Stream) -> Stream:
        pairs = ((getattr(self, name), getattr(later, name)) for name in ("users", "items", "times"))
        return Stream(*(np.concatenate(pair) for pair in pairs))


def population(whole: Workspace, model: Workspace) -> Population:
    """Of the log of ``whole``, as the model of the other workspace knows its items."""
    events = read_table(whole.events, ["user_id", "item_id", "timestamp"]).combine_chunks()
    item_ids = read_table(whole.items, ["item_id"])["item_id"].to_pylist()
    known = read_codes(model.sids)
    code = dict(zip(known.item_ids, known.codes[:, 0].tolist(), strict=True))
    users = pc.rank(events["user_id"], tiebreaker="dense").to_numpy().astype(np.int64) - 1
    offsets = np.searchsorted(users, np.arange(users.max() + 2))
    times = events["timestamp"].cast(pa.int64()).to_numpy()
    items = pc.index_in(events["item_id"].cast(pa.string()), value_set=pa.array(item_ids)).to_numpy().astype(np.int64)
    first_code = np.array([code.get(item, -1) for item in item_ids], dtype=np.int64)
    since = times - np.repeat(times[offsets[:-1]], np.diff(offsets))
    span = int(times.max() - times.min())
    return Population(offsets, items, since, span, np.array(item_ids, dtype=object), first_code)


def stream(users: Population, events: int, generator: np.random.Generator) -> Stream:
    """``events`` events of users that come at random, as densely as in the log that they are drawn from."""
    length = round(users.span * events / len(users.items))
    longest = int(users.times.max())
    lengths = np.diff(users.offsets)
    # Who came long before still does something within.
    arrivals = round(len(lengths) * (length + longest) / users.span * 1.2) + 20
    drawn = generator.integers(len(lengths), size=arrivals)
    starts = generator.integers(-longest, length, size=arrivals)
    counts = lengths[drawn]
    own = np.repeat(np.arange(arrivals), counts)
    rows = (
        np.arange(counts.sum())
        - np.repeat(np.cumsum(counts) - counts, counts)
        + np.repeat(users.offsets[drawn], counts)
    )
    times = np.repeat(starts, counts) + users.times[rows]
    inside = np.flatnonzero(times >= 0)
    order = inside[np.argsort(times[inside], kind="stable")][:events]
    return Stream(own[order], users.items[rows[order]], times[order])


def planted(now: Stream, users: Population, scenario: str, generator: np.random.Generator) -> Stream:
    """The current window after the world has changed."""
    items = now.items.copy()
    code = users.first_code
    if scenario == MASS:
        codes = generator.permutation(code.max() + 1)
        # Halves of equal mass, as the window has it.
        mass = np.cumsum(np.bincount(code[items][code[items] >= 0], minlength=len(codes))[codes])
        leaving = np.zeros(len(codes), dtype=bool)
        leaving[codes[mass <= mass[-1] / 2]] = True
        moves = (code[items] >= 0) & leaving[code[items]] & (generator.random(len(items)) < 2 / 3)
        stays = items[(code[items] >= 0) & ~leaving[code[items]]]
        items[moves] = generator.choice(stays, int(moves.sum()))
    elif scenario == UNKNOWN:
        items[generator.random(len(items)) < _UNKNOWN] = np.flatnonzero(code < 0)[0]
    return replace(now, items=items)


def write_stream(events: Stream, users: Population, path: Path) -> None:
    """As the stage `events` writes a log; the last events of each user are held out."""
    order = np.lexsort((np.arange(len(events.users)), events.users))
    own, items, times = events.users[order], users.item_ids[events.items[order]], events.times[order]
    starts = np.flatnonzero(np.append(True, own[1:] != own[:-1]))
    counts = np.diff(np.append(starts, len(own)))
    position = np.arange(len(own)) - np.repeat(starts, counts)
    left = np.repeat(counts, counts) - position
    split = np.where((left > 2) | (np.repeat(counts, counts) < 3), "train", np.where(left == 2, "validation", "test"))
    write_table(
        pa.table(
            {
                "user_id": pa.array(np.char.mod("u%09d", own)),
                "item_id": pa.array(items, pa.string()),
                "timestamp": pa.array(times + _EPOCH, pa.timestamp("us", "UTC")),
                "position": pa.array(position, pa.int32()),
                "split": pa.array(split),
            }
        ),
        path,
    )
