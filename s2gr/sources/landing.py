"""What every source offers the ``events`` stage: batches, one a landed file, with SQL that reads them.

Ids are text, times UTC without a zone, ``row`` counts the file's data rows from 1, and what can't be read is NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from s2gr.database import sql
from s2gr.params import Source
from s2gr.sources.faults import readable
from s2gr.sources.folder import Snapshot, snapshot
from s2gr.sources.timestamps import timestamp_sql

Role = Literal["interactions", "items"]


@dataclass(frozen=True)
class Batch:
    """A file whose columns fit its role; its rows are yet to be read."""

    # How reports and the quarantine call it: the path below `source.path`.
    name: str
    path: Path
    # SHA-256 of the file: what identifies the batch.
    digest: str
    role: Role
    # SQL: row, user_id, item_id, moment, or row, item_id, title, text, moment.
    rows: str
    # SQL: row, record (the raw row as JSON, for the quarantine).
    records: str
    # DuckDB's type of `moment`, and the unit of its numbers.
    moment: str
    unit: str
    # That of `moment`, for an error.
    column: str = "timestamp"
    # Text whose last line has no end.
    unended: bool = False


@dataclass(frozen=True)
class Misfit:
    """A file that can't be opened, or whose columns are of no use."""

    name: str
    digest: str
    # None: nobody can tell.
    role: Role | None
    # Whether it can't be read; else its columns don't fit.
    unreadable: bool
    reason: str


@dataclass(frozen=True)
class Landing:
    """All that has landed."""

    batches: Sequence[Batch]
    misfits: Sequence[Misfit]
    # Files that nobody asked for.
    ignored: Sequence[Misfit]
    # Further names of a content → the name that it is taken under.
    copies: Mapping[str, str]
    # The files as they were when the landing was opened, what they are together, and what lists them now.
    before: Snapshot
    identity: str
    listing: Callable[[], Sequence[Path]]

    def of(self, role: Role) -> list[Batch]:
        return [batch for batch in self.batches if batch.role == role]

    def changed(self) -> list[Path]:
        """Files that came, went or were written to since the landing was opened."""
        now = snapshot(self.listing())
        return sorted(path for path in self.before.keys() | now.keys() if self.before.get(path) != now.get(path))


def open_source(source: Source, connection: duckdb.DuckDBPyConnection, downloads: Path) -> Landing:
    """Look at the files of ``source``, and make the tables for :func:`load`; downloads, if any, go to ``downloads``.

    Raises: UserError: there is nothing that could be events, or what was named is missing.
    """
    connection.execute(sql(__file__, "landing.sql"))
    if source.kind == "movielens-100k":
        from s2gr.sources import movielens

        return movielens.open_movielens(source, connection, downloads)
    from s2gr.sources import files

    return files.open_files(source, connection)


def load(batch: Batch, number: int, connection: duckdb.DuckDBPyConnection) -> None:
    """Append the rows of a batch to the table of its role (``landing.sql``), all of them or none.

    ``number`` becomes their ``batch``.

    Raises: UserError: the file is damaged somewhere; the line is named where it is known.
    """
    try:
        with readable(batch.path):
            # Read once: a text file takes longer to parse than all that is asked of it below.
            connection.execute(f"CREATE OR REPLACE TEMP TABLE loaded AS {batch.rows}")
            where = f"{batch.path}: column {batch.column!r}"
            instant = timestamp_sql(connection, "loaded", "moment", batch.moment, batch.unit, where)
            told = "nullif(nullif(trim(CAST(moment AS VARCHAR)), ''), 'nan')"
            unread = f", CASE WHEN {instant} IS NULL THEN {told} END" if batch.role == "items" else ""
            connection.execute(
                f"INSERT INTO {batch.role} SELECT {number}, * EXCLUDE (moment), {instant}{unread} FROM loaded"
            )
    finally:
        connection.execute("DROP TABLE IF EXISTS loaded")
