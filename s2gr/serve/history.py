"""Whose history: a user's in the event log, or any, as item ids or as titles that a person types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from s2gr.errors import UserError
from s2gr.workspace import read_table, readable_artefact

# Of 100: from here on a title is taken for the one that was meant, if no other is within _LEAD of it.
_MEANT, _LEAD = 85.0, 4.0
# From here on it is worth a mention.
_NEAR = 60.0
_MENTIONED = 5


def history_of_user(events: Path, user: str) -> list[str]:
    """The items that ``user`` met, oldest first; the log is sorted by user, so little of it is read.

    Raises: UserError: there is no such user; the closest ids are named.
    """
    readable_artefact(events, ["user_id", "item_id", "position"])
    found: list[str] = []
    with pq.ParquetFile(events) as file:
        column = file.schema_arrow.names.index("user_id")
        for group in range(file.metadata.num_row_groups):
            statistics = file.metadata.row_group(group).column(column).statistics
            if statistics is None or not statistics.has_min_max or statistics.min <= user <= statistics.max:
                table = file.read_row_group(group, ["user_id", "item_id"])
                # Not compared by pyarrow, which would import pandas to understand `user`.
                of_whom, items = (table[name].cast(pa.string()).to_pylist() for name in ("user_id", "item_id"))
                found += [item_id for known, item_id in zip(of_whom, items, strict=True) if known == user]
    if not found:
        raise UserError(_no_user(events, user))
    return found


class Finder:
    """Finds items by their ids, or by their titles with the mistakes that people make.

    Args:
        item_ids, titles: of the catalogue.
    """

    def __init__(self, item_ids: Sequence[str], titles: Sequence[str]) -> None:
        self._item_ids, self._titles = item_ids, titles
        self._by_id = {item_id: row for row, item_id in enumerate(item_ids)}
        self._by_title: dict[str, list[int]] = {}
        for row, title in enumerate(titles):
            self._by_title.setdefault(_plain(title), []).append(row)

    def history(self, given: Sequence[str]) -> list[str]:
        """The item ids of lists such as ``50, Toy Story (1995), Godfather, The``.

        What stands between two commas is an id or a title; so is what has commas inside and is exactly one.

        Raises: UserError: nothing or several things may be meant; it names the closest.
        """
        return [self._item_ids[row] for text in given for row in self._rows(text.split(","))]

    def _rows(self, parts: list[str]) -> list[int]:
        rows, start = [], 0
        while start < len(parts):
            for end in range(len(parts), start, -1):
                name = ",".join(parts[start:end]).strip()
                if (row := self._exact(name)) is not None or end == start + 1:
                    break
            if name:
                rows.append(self._closest(name) if row is None else row)
            start = end
        return rows

    def _exact(self, name: str) -> int | None:
        if name in self._by_id:
            return self._by_id[name]
        rows = self._by_title.get(_plain(name), []) if name else []
        if len(rows) > 1:
            raise UserError(f"{name!r} is the title of several items; give the id: {self._told(rows)}")
        return rows[0] if rows else None

    def _closest(self, name: str) -> int:
        scores = _likeness(name, self._titles)
        near = [row for row in np.argsort(-scores, kind="stable")[:_MENTIONED].tolist() if scores[row] >= _NEAR]
        meant = [row for row in near if scores[row] >= max(_MEANT, scores[near[0]] - _LEAD)]
        if len(meant) == 1:
            return int(meant[0])
        if meant:
            raise UserError(f"{name!r} may be several items; give more of the title, or the id: {self._told(meant)}")
        closest = f"; the closest: {self._told(near)}" if near else ""
        raise UserError(f"there is no item with the id or the title {name!r}{closest}")

    def _told(self, rows: Sequence[int]) -> str:
        shown = "; ".join(f"{self._item_ids[row]} = {self._titles[row]}" for row in rows[:_MENTIONED])
        return shown + ("; …" if len(rows) > _MENTIONED else "")


def _likeness(name: str, titles: Sequence[str]) -> npt.NDArray[np.float32]:
    """How much each title is like ``name``, of 100: all of it where it may be a part of a longer title."""
    # Imported here: nobody who gives ids needs it.
    from rapidfuzz import fuzz, process, utils

    asked, known = utils.default_process(name), [utils.default_process(title) for title in titles]
    as_part, as_words, as_whole = (
        process.cdist([asked], known, scorer=scorer)[0]
        for scorer in (fuzz.partial_ratio, fuzz.token_set_ratio, fuzz.ratio)
    )
    longer = np.array([len(title) >= len(asked) for title in known])
    likeness: npt.NDArray[np.float32] = np.where(longer, np.maximum(as_part, as_words), as_whole)
    return likeness


def _plain(title: str) -> str:
    return " ".join(title.casefold().split())


def _no_user(events: Path, user: str) -> str:
    user_ids = sorted(read_table(events, ["user_id"])["user_id"].unique().cast(pa.string()).to_pylist())
    place = sum(known < user for known in user_ids)
    near = ", ".join(user_ids[max(0, place - 2) : place + 2])
    return f"there is no user {user!r} in {events}; the closest of {len(user_ids):,}: {near}"
