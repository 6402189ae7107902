"""Stage ``events``: landing files → one audited, totally ordered event log, its split and the catalogue.

Bad rows go to the quarantine with their reason; a log with more of them than ``events.max_rejected`` is refused whole.
The rest is cut to its k-core (every user and every item has at least k events, repeated until both hold), ordered by
timestamp and, within a timestamp, by the log's own row order or a seeded shuffle.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from s2gr.console import log
from s2gr.database import database, literal, one_row, sql
from s2gr.errors import UserError
from s2gr.params import Params
from s2gr.sources import Landing, open_source
from s2gr.sources.faults import readable
from s2gr.stage import Metrics
from s2gr.workspace import Workspace


@dataclass(frozen=True)
class _Audit:
    """How many rows a file has, and how many of them were rejected, by reason."""

    file: str
    rows: int
    rejected: dict[str, int]


def run(params: Params, inputs: Workspace, outputs: Workspace) -> Metrics:
    """Write ``events.parquet``, ``items.parquet`` and ``quarantine.parquet``.

    Raises: UserError: an unreadable source, too many rejected rows, or nothing left after the k-core.
    """
    with database(params.runtime, inputs.state) as connection:
        landing = open_source(params.source, connection, inputs.state / "downloads")
        audits = _audit(connection, landing)
        _write(connection, _quarantine_sql(landing), outputs.quarantine)
        for audit in audits:
            _refuse_if_bad(audit, params.events.max_rejected, connection, outputs.quarantine, inputs.state)
        sound = _count(connection, "staged_events WHERE reason IS NULL")
        _k_core(connection, params.events.k_core)
        kept = _count(connection, "log")
        _order_and_split(connection, params)
        # The log says how it was made: what an evaluation has to state.
        made = {"split": params.events.split, "ties": params.events.ties, "k_core": str(params.events.k_core)}
        _write(connection, sql(__file__, "events.sql"), outputs.events, made)
        _write(connection, sql(__file__, "items.sql"), outputs.items)
        return one_row(connection, sql(__file__, "summary.sql"), {}) | {
            "landed": audits[0].rows,
            "rejected": _totals(audits),
            "dropped_by_k_core": sound - kept,
        }


def _audit(connection: duckdb.DuckDBPyConnection, landing: Landing) -> list[_Audit]:
    """Stage both files and give every bad row its reason."""
    if landing.items is None:
        log.info("no file has the columns of source.item_columns: items are known by their ids only")
        connection.execute(sql(__file__, "items_of_events.sql"))
    with readable((landing.items or landing.interactions).path):
        connection.execute(sql(__file__, "audit_items.sql"))
    with readable(landing.interactions.path):
        connection.execute(sql(__file__, "audit_events.sql"))
    audits = [_audit_of(connection, landing.interactions.name, "staged_events")]
    if landing.items is not None:
        audits.append(_audit_of(connection, landing.items.name, "staged_items"))
    for audit in audits:
        if not audit.rows:
            raise UserError(f"{audit.file} has no rows; expected at least one")
    return audits


def _audit_of(connection: duckdb.DuckDBPyConnection, file: str, table: str) -> _Audit:
    rejected = connection.execute(
        f"SELECT reason, count(*) FROM {table} WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason"
    ).fetchall()
    return _Audit(file, _count(connection, table), dict(rejected))


def _quarantine_sql(landing: Landing) -> str:
    text = sql(__file__, "quarantine.sql")
    items = literal(landing.items.name if landing.items else "")
    return text.format(interactions=literal(landing.interactions.name), items=items)


def _refuse_if_bad(
    audit: _Audit, limit: float, connection: duckdb.DuckDBPyConnection, quarantine: Path, state: Path
) -> None:
    """Refuse the whole log, and leave the rejected rows where the user can look at them."""
    rejected = sum(audit.rejected.values())
    if rejected <= limit * audit.rows:
        return
    path = state / "refused_quarantine.parquet"
    shutil.copy(quarantine, path)
    first = one_row(
        connection,
        f"SELECT * FROM read_parquet({literal(path)}) WHERE file = $file ORDER BY row, reason LIMIT 1",
        {"file": audit.file},
    )
    counts = ", ".join(f"{count} {name}" for name, count in audit.rejected.items())
    raise UserError(
        f"{audit.file}: {rejected} of {audit.rows} rows rejected ({counts}), more than events.max_rejected = {limit:g} "
        f"of them; the first is row {first['row']} ({first['reason']}): {first['record'][:300]}; see {path}, "
        "correct the file or raise the limit"
    )


def _k_core(connection: duckdb.DuckDBPyConnection, k: int) -> None:
    """Make the table ``log``: the sound events, cut until every user and item has at least ``k``."""
    connection.execute("CREATE TABLE log AS SELECT user, item, timestamp, row FROM staged_events WHERE reason IS NULL")
    before = left = _count(connection, "log")
    while k > 1:
        connection.execute(sql(__file__, "core.sql"), {"k": k})
        count = _count(connection, "log")
        if count == left:
            break
        left = count
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


def _totals(audits: list[_Audit]) -> dict[str, int]:
    by_reason = {reason: count for audit in audits for reason, count in audit.rejected.items()}
    return {"total": sum(by_reason.values()), **by_reason}


def _write(
    connection: duckdb.DuckDBPyConnection, query: str, path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """``metadata`` goes into the footer of the Parquet file."""
    # COPY streams: a log larger than memory never stands in it as one table.
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = ", ".join(f"{key}: {literal(value)}" for key, value in (metadata or {}).items())
    footer = f", KV_METADATA {{{pairs}}}" if pairs else ""
    connection.execute(f"COPY ({query}) TO {literal(path)} (FORMAT parquet, COMPRESSION zstd{footer})")
