"""The users' item sequences as flat integer arrays: what the reasoner trains on and the evaluation tests on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from s2gr.errors import UserError
from s2gr.workspace import read_table

SPLITS = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(3)


@dataclass(frozen=True)
class Sequences:
    """All events, user after user, each user's in their total order.

    ``items[offsets[u]:offsets[u + 1]]`` is the sequence of user ``u``; an item is its row in ``item_ids`` (the order of
    ``items.parquet``), a split its index in ``SPLITS``.
    """

    user_ids: list[str]
    # int64 [users + 1]
    offsets: npt.NDArray[np.int64]
    # int32 [events]
    items: npt.NDArray[np.int32]
    # uint8 [events]
    split: npt.NDArray[np.uint8]
    item_ids: list[str]

    @property
    def n_users(self) -> int:
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        return len(self.item_ids)

    @cached_property
    def users(self) -> npt.NDArray[np.int32]:
        """The user of each event, int32 ``[events]``."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.offsets))

    def training(self) -> Sequences:
        """The same users and items with the training events only: what a model may learn from."""
        kept = self.split == TRAIN
        lengths = np.bincount(self.users[kept], minlength=self.n_users)
        return Sequences(self.user_ids, _offsets(lengths), self.items[kept], self.split[kept], self.item_ids)


def load_sequences(events: Path, items: Path) -> Sequences:
    """Read ``events.parquet`` (sorted by user and position) against the catalogue ``items.parquet``.

    Raises: UserError: a missing file or column, an event of an item outside the catalogue, or events out of order.
    """
    catalogue = read_table(items, ["item_id"])["item_id"].combine_chunks().cast(pa.string())
    table = read_table(events, ["user_id", "item_id", "position", "split"]).combine_chunks()
    users = _column(table, "user_id").cast(pa.string()).dictionary_encode()
    # Codes are given in order of appearance: they never fall as long as each user's events lie together.
    codes = users.indices.to_numpy(zero_copy_only=False)
    positions = _column(table, "position").to_numpy(zero_copy_only=False)
    same_user = np.diff(codes) == 0
    if np.any(np.diff(codes) < 0) or np.any(np.diff(positions)[same_user] <= 0):
        raise UserError(f"{events}: expected events sorted by user_id and position; run the stage `events` again")
    rows = _codes_of(_column(table, "item_id").cast(pa.string()), catalogue, events, "item_id", f"an item of {items}")
    splits = _codes_of(_column(table, "split").cast(pa.string()), pa.array(SPLITS), events, "split", "/".join(SPLITS))
    user_ids = users.dictionary.to_pylist()
    offsets = _offsets(np.bincount(codes, minlength=len(user_ids)))
    return Sequences(user_ids, offsets, rows.astype(np.int32), splits.astype(np.uint8), catalogue.to_pylist())


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _offsets(lengths: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _codes_of(values: pa.Array, known: pa.Array, file: Path, column: str, expected: str) -> npt.NDArray[np.int64]:
    codes = pc.index_in(values, value_set=known)
    if codes.null_count:
        row = int(np.argmax(codes.is_null().to_numpy(zero_copy_only=False)))
        raise UserError(f"{file}: row {row + 1}, column {column}: expected {expected}, found {values[row].as_py()!r}")
    converted: npt.NDArray[np.int64] = codes.to_numpy(zero_copy_only=False)
    return converted
