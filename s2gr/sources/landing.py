"""What every source offers the ``events`` stage: the same SQL views, whatever the files behind them look like.

``interactions(row, user_id, item_id, timestamp)`` and, where there are items, ``items(row, item_id, title, text)``.
``row`` counts the file's data rows from 1, ids are text, ``timestamp`` is UTC without a zone, and what can't be read is
NULL.
``interaction_records(row, record)`` and ``item_records(row, record)`` give the raw row as JSON, for the quarantine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from s2gr.params import Source


@dataclass(frozen=True)
class LandedFile:
    """A file behind the views; ``name`` is how the quarantine calls it."""

    name: str
    path: Path


@dataclass(frozen=True)
class Landing:
    """Where the views come from."""

    interactions: LandedFile
    # None: there is no items file, and no view `items`.
    items: LandedFile | None


def open_source(source: Source, connection: duckdb.DuckDBPyConnection, downloads: Path) -> Landing:
    """Create the views of ``source`` in ``connection``; downloads, if any, go to ``downloads``.

    Raises: UserError: a missing, unreadable or unfitting file, named with row and column where they are known.
    """
    if source.kind == "movielens-100k":
        from s2gr.sources import movielens

        return movielens.open_movielens(source, connection, downloads)
    from s2gr.sources import files

    return files.open_files(source, connection)
