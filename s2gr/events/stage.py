"""Stage ``events``: landed files → one audited, totally ordered event log, its split and the catalogue.

A file is admitted or refused whole; bad rows of those that are admitted go to the quarantine with their reason. What
is left is cut to its k-core (every user and every item has at least k events, repeated until both hold), ordered by
timestamp and, within a timestamp, by the log's own order or a seeded shuffle. The log's own order: the files by their
first timestamp, then their last, then their digest; within a file its rows.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from s2gr.console import log
from s2gr.database import database, literal, one_row, sql
from s2gr.errors import UserError
from s2gr.events.admission import admit
from s2gr.events.ledger import Entry, summary, write_ledger
from s2gr.params import Params
from s2gr.sources import Landing, open_source
from s2gr.stage import Metrics
from s2gr.workspace import Workspace

# Files may land while others are read; then all is read anew, so often at most.
_ATTEMPTS = 5


def run(params: Params, inputs: Workspace, outputs: Workspace) -> Metrics:
    """Write ``events.parquet``, ``items.parquet``, ``quarantine.parquet`` and ``batches.parquet``.

    Raises: UserError: no file is admitted, nothing is left after the k-core, or the folder does not stand still.
    """
    changed: Sequence[Path] = ()
    for _ in range(_ATTEMPTS):
        with database(params.runtime, inputs.state) as connection:
            landing = open_source(params.source, connection, inputs.state / "downloads")
            metrics = _ingest(landing, params, connection, inputs.state, outputs)
        changed = landing.changed()
        if not changed:
            return metrics
        log.info("%s came or changed meanwhile: reading all anew", ", ".join(map(str, changed[:3])))
    raise UserError(
        f"{changed[0]} changed again and again while it was read; write a file elsewhere and rename it into "
        f"{params.source.path} when it is whole"
    )


def _ingest(
    landing: Landing, params: Params, connection: duckdb.DuckDBPyConnection, state: Path, outputs: Workspace
) -> dict[str, Any]:
    entries = admit(landing, params, connection)
    _write(connection, "SELECT * FROM quarantine ORDER BY file, row, reason", outputs.quarantine)
    _refuse_if_none_admitted(entries, outputs.quarantine, state)
    write_ledger(entries, landing.identity, outputs.batches)
    disagreeing = _count(connection, f"({sql(__file__, 'disagreements.sql')})")
    if disagreeing:
        log.warning(
            "%d items are described differently by two files, and source.item_columns.updated doesn't tell which is "
            "newer: that of the larger file was taken",
            disagreeing,
        )
    connection.execute(sql(__file__, "log.sql"))
    sound = _count(connection, "log")
    _k_core(connection, params.events.k_core)
    kept = _count(connection, "log")
    _order_and_split(connection, params)
    # The log says how it was made: what an evaluation has to state.
    made = {"split": params.events.split, "ties": params.events.ties, "k_core": str(params.events.k_core)}
    _write(connection, sql(__file__, "events.sql"), outputs.events, made)
    _write(connection, sql(__file__, "items.sql"), outputs.items)
    refused = [entry.file for entry in entries if entry.status == "refused" and entry.role != "items"]
    if refused:
        log.warning(
            "the log has %d events, and none of %d refused files (%s): correct them, or move them out of the folder if "
            "they are meant to be left out",
            kept,
            len(refused),
            ", ".join(refused[:3]),
        )
    return {
        **one_row(connection, sql(__file__, "summary.sql"), {}),
        **summary(entries),
        "dropped_by_k_core": sound - kept,
        "items_disagreeing": disagreeing,
    }


def _refuse_if_none_admitted(entries: Sequence[Entry], quarantine: Path, state: Path) -> None:
    """A log without events, or with events and no catalogue where one has landed, must not replace the old one.

    The rejected rows are left where the user can look at them.
    """
    for role in ("items", "interactions"):
        mine = [entry for entry in entries if entry.role == role]
        if (not mine and role == "items") or any(entry.status == "admitted" for entry in mine):
            continue
        path = state / "refused_quarantine.parquet"
        shutil.copy(quarantine, path)
        more = f" (further files of {role} that are refused: {len(mine) - 1})" if len(mine) > 1 else ""
        rows = f"; see {path}, correct the file or raise the limit" if mine[0].rejected else ""
        raise UserError(f"{mine[0].reason}{rows}{more}; no file of {role} is admitted, and the log is as it was")


def _k_core(connection: duckdb.DuckDBPyConnection, k: int) -> None:
    """Cut the table ``log`` until every user and item has at least ``k`` events."""
    before = _count(connection, "log")
    while k > 1:
        connection.execute(sql(__file__, "core.sql").format(k=k))
        if not _count(connection, "dropped"):
            break
    left = _count(connection, "log")
    if not left:
        raise UserError(
            f"nothing is left of {before} events after the {k}-core (every user and item with at least {k} events); "
            f"lower events.k_core"
        )
    log.info("%d of %d sound events are in the %d-core", left, before, k)


def _order_and_split(connection: duckdb.DuckDBPyConnection, params: Params) -> None:
    """Make the table ``ordered``: every user's events in their total order, each with its split."""
    ties = "ties_shuffled.sql" if params.events.ties == "shuffled" else "ties_log.sql"
    connection.execute(sql(__file__, ties).format(seed=params.runtime.seed))
    connection.execute(sql(__file__, "order.sql"))
    if params.events.split == "temporal":
        connection.execute(sql(__file__, "split_temporal.sql").format(held_out=params.events.held_out))
    else:
        connection.execute(sql(__file__, "split_leave_one_out.sql"))


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    ((count,),) = connection.execute(f"SELECT count(*) FROM {relation}").fetchall()
    return int(count)


def _write(
    connection: duckdb.DuckDBPyConnection, query: str, path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """``metadata`` goes into the footer of the Parquet file."""
    # COPY streams: a log larger than memory never stands in it as one table.
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = ", ".join(f"{key}: {literal(value)}" for key, value in (metadata or {}).items())
    footer = f", KV_METADATA {{{pairs}}}" if pairs else ""
    connection.execute(f"COPY ({query}) TO {literal(path)} (FORMAT parquet, COMPRESSION zstd{footer})")
