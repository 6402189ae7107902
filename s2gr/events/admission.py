"""Which of the landed files join the log: every file is staged, audited row by row, and admitted or refused whole.

The verdict is that of the batch suite (:mod:`data_checks.batches`), held by Great Expectations against the facts that
DuckDB counts here. All that is decided follows from the contents of the files and the parameters: not from names, the
clock, or the order in which the files came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb

from s2gr.console import log
from s2gr.database import literal, sql
from s2gr.errors import UserError
from s2gr.events.ledger import Entry
from s2gr.params import Params
from s2gr.sources import Batch, Landing, Misfit, load
from s2gr.sources.faults import readable
from s2gr.sources.landing import Role

# Rows of a refused file that the quarantine shows: the file itself is the evidence.
_SHOWN_OF_REFUSED = 1000


def admit(landing: Landing, params: Params, connection: duckdb.DuckDBPyConnection) -> list[Entry]:
    """Make the tables ``catalogue``, ``user_keys``, ``staged_events`` and ``admitted_events``, and fill ``quarantine``.

    Returns: one entry a file.
    """
    connection.execute(sql(__file__, "reasons.sql"))
    entries = _misfits(landing.misfits, params)
    entries += _admit_items(landing.of("items"), params, connection)
    admitted = any(entry.role == "items" and entry.status == "admitted" for entry in entries)
    loaded, damaged = _load(landing.of("interactions"), connection)
    connection.execute(sql(__file__, "catalogue.sql" if admitted else "catalogue_of_events.sql"))
    entries += _admit_events(loaded, params, connection) + _refused(damaged, "interactions", params)
    digests = {entry.file: entry.batch for entry in entries}
    entries += [
        Entry(name, digests[original], None, "copy", f"the content of {original}")
        for name, original in landing.copies.items()
    ]
    entries += [Entry(file.name, file.digest, None, "ignored", file.reason) for file in landing.ignored]
    for entry in entries:
        if entry.status == "refused":
            log.warning("refused: %s", entry.reason)
        elif entry.failed_checks:
            log.warning("%s: admitted, but look at %s", entry.file, ", ".join(entry.failed_checks))
    return entries


def _load(
    batches: Sequence[Batch], connection: duckdb.DuckDBPyConnection
) -> tuple[dict[int, Batch], list[tuple[Batch, str]]]:
    """The batches that can be read to their end, by number, and the others with what is wrong."""
    loaded: dict[int, Batch] = {}
    damaged: list[tuple[Batch, str]] = []
    for number, batch in enumerate(batches):
        try:
            load(batch, number, connection)
            loaded[number] = batch
        except UserError as error:
            damaged.append((batch, str(error).replace(str(batch.path), batch.name)))
    return loaded, damaged


def _admit_items(batches: Sequence[Batch], params: Params, connection: duckdb.DuckDBPyConnection) -> list[Entry]:
    """Make ``staged_items`` and ``admitted_items``."""
    loaded, damaged = _load(batches, connection)
    rows = dict(connection.execute("SELECT batch, count(*) FROM items GROUP BY batch").fetchall())
    ranked = sorted(loaded, key=lambda number: (-rows.get(number, 0), loaded[number].digest))
    _set_ranks(ranked, connection)
    unread = connection.execute(sql(__file__, "unread_updates.sql")).fetchall()
    connection.execute(sql(__file__, "audit_items.sql"))
    found = [
        Entry(batch.name, batch.digest, batch.role, "admitted", rows=rows.get(number, 0))
        for number, batch in ((number, loaded[number]) for number in ranked)
    ]
    _count_rejected(found, "staged_items", "rank", connection)
    batches = [loaded[number] for number in ranked]
    facts = [{**_facts(entry, batch), "unread_updates": 0} for entry, batch in zip(found, batches, strict=True)]
    for rank, count, first in unread:
        facts[rank]["unread_updates"] = count
        log.warning(
            "%s: %d of %d values in column %r are no times, the first is %r: these rows count as older than all "
            "others; write ISO 8601 or whole numbers",
            found[rank].file,
            count,
            found[rank].rows,
            batches[rank].column,
            first,
        )
    _decide(found, batches, facts, "items", params, connection)
    return found + _refused(damaged, "items", params)


def _admit_events(loaded: Mapping[int, Batch], params: Params, connection: duckdb.DuckDBPyConnection) -> list[Entry]:
    """Make ``user_keys``, ``staged_events``, ``repeats`` and ``admitted_events``."""
    rows = dict(connection.execute("SELECT batch, count(*) FROM interactions GROUP BY batch").fetchall())
    times: dict[int, tuple[datetime, datetime]] = {
        batch: (first, last)
        for batch, first, last in connection.execute(sql(__file__, "batch_times.sql")).fetchall()
        if first is not None
    }
    never = (datetime.max, datetime.max)
    ranked = sorted(loaded, key=lambda number: (*times.get(number, never), loaded[number].digest))
    _set_ranks(ranked, connection)
    connection.execute(sql(__file__, "audit_events.sql"))
    found = []
    for number in ranked:
        batch, (first, last) = loaded[number], times.get(number, (None, None))
        entry = Entry(batch.name, batch.digest, batch.role, "admitted", rows=rows.get(number, 0))
        entry.first_timestamp, entry.last_timestamp = first, last
        found.append(entry)
    _count_rejected(found, "staged_events", "place >> 40", connection)
    batches = [loaded[number] for number in ranked]
    facts = [
        {**_facts(entry, batch), "ancient": 0, "implausible_share": 0.0}
        for entry, batch in zip(found, batches, strict=True)
    ]
    for rank, ancient, implausible, row, date in connection.execute(sql(__file__, "implausible.sql")).fetchall():
        facts[rank] |= {"ancient": ancient, "implausible_share": implausible / facts[rank]["rows"]}
        facts[rank] |= {"implausible": implausible, "implausible_row": row, "implausible_date": date}
    _decide(found, batches, facts, "events", params, connection)
    connection.execute(sql(__file__, "repeated.sql"))
    repeated = dict(connection.execute("SELECT place >> 40 AS rank, count(*) FROM repeated GROUP BY rank").fetchall())
    for rank, entry in enumerate(found):
        entry.repeated = repeated.get(rank, 0)
    return found


def _set_ranks(ranked: Sequence[int], connection: duckdb.DuckDBPyConnection) -> None:
    """Make the table ``ranks`` (batch, rank): the numbers of the files, in their order."""
    connection.execute("CREATE OR REPLACE TABLE ranks (batch INTEGER, rank INTEGER)")
    connection.execute(
        "INSERT INTO ranks SELECT unnest($batch), unnest($rank)",
        {"batch": list(ranked), "rank": list(range(len(ranked)))},
    )


def _count_rejected(entries: Sequence[Entry], table: str, rank: str, connection: duckdb.DuckDBPyConnection) -> None:
    counts = connection.execute(
        f"SELECT {rank} AS rank, reason, count(*) FROM {table} WHERE reason IS NOT NULL GROUP BY ALL ORDER BY ALL"
    )
    for number, reason, count in counts.fetchall():
        entries[number].rejected[reason] = count


def _facts(entry: Entry, batch: Batch) -> dict[str, Any]:
    rejected, rows = sum(entry.rejected.values()), entry.rows or 0
    shares = {"rows": rows, "rejected_share": rejected / max(rows, 1)}
    return {"unreadable": 0, "misfit": 0, "unended": int(batch.unended), **shares}


def _decide(
    entries: Sequence[Entry],
    batches: Sequence[Batch],
    facts: Sequence[Mapping[str, Any]],
    table: str,
    params: Params,
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Put the rejected rows into the quarantine, admit or refuse every file, and make ``admitted_{table}``."""
    # GX takes seconds to import, and data_checks is built on this package: only a run of this stage needs it.
    from data_checks.batches import judge

    for entry, failed in zip(entries, judge(facts, params.events.max_rejected), strict=True):
        entry.failed_checks = [check.name for check in failed]
        if any(check.severity == "critical" for check in failed):
            entry.status = "refused"
    for rank, (entry, batch, found) in enumerate(zip(entries, batches, facts, strict=True)):
        if entry.rejected:
            _quarantine(entry, batch, f"{'place >> 40' if table == 'events' else 'rank'} = {rank}", table, connection)
        if entry.status == "refused":
            entry.reason = _reason(entry, batch, found, params.events.max_rejected, connection)
    admitted = [rank for rank, entry in enumerate(entries) if entry.status == "admitted"]
    connection.execute(
        f"CREATE TABLE admitted_{table} AS SELECT unnest($ranks::INTEGER[]) AS rank", {"ranks": admitted}
    )


def _quarantine(entry: Entry, batch: Batch, condition: str, table: str, connection: duckdb.DuckDBPyConnection) -> None:
    """Keep the rejected rows as they lay in their file, which is read again: of all others nothing is kept."""
    row = "place & ((1::BIGINT << 40) - 1)" if table == "events" else "row"
    limit = f"ORDER BY row LIMIT {_SHOWN_OF_REFUSED}" if entry.status == "refused" else ""
    with readable(batch.path):
        connection.execute(f"""
            INSERT INTO quarantine
            SELECT {literal(entry.file)}, row, CAST(rejected.reason AS VARCHAR), record
            FROM (SELECT {row} AS row, reason FROM staged_{table} WHERE {condition} AND reason IS NOT NULL {limit})
                AS rejected
            JOIN ({batch.records}) AS landed USING (row)""")


def _reason(
    entry: Entry, batch: Batch, facts: Mapping[str, Any], limit: float, connection: duckdb.DuckDBPyConnection
) -> str:
    """Why a readable file is refused."""
    if not entry.rows:
        return f"{entry.file} has no rows; expected at least one"
    if "batch_rows_sound" not in entry.failed_checks:
        row = facts["implausible_row"]
        with readable(batch.path):
            ((record,),) = connection.execute(
                f"SELECT record FROM ({batch.records}) AS landed WHERE row = ?", [row]
            ).fetchall()
        return (
            f"{entry.file}: {facts['implausible']} of {entry.rows} times lie before 1990 or after 2099, more than "
            f"events.max_rejected = {limit:g} of them; the first is row {row}, read as {facts['implausible_date']}: "
            f"{record[:300]}; check source.timestamp_unit, and write dates in column {batch.column!r} like 2024-01-15"
        )
    counts = ", ".join(f"{count} {reason}" for reason, count in entry.rejected.items())
    ((row, reason, record),) = connection.execute(
        "SELECT row, reason, record FROM quarantine WHERE file = ? ORDER BY row, reason LIMIT 1", [entry.file]
    ).fetchall()
    times = f"; check column {batch.column!r} and source.timestamp_unit" if "unparsable_timestamp" in counts else ""
    return (
        f"{entry.file}: {sum(entry.rejected.values())} of {entry.rows} rows rejected ({counts}), more than "
        f"events.max_rejected = {limit:g} of them; the first is row {row} ({reason}): {record[:300]}{times}"
    )


def _refused(damaged: Sequence[tuple[Batch, str]], role: Role, params: Params) -> list[Entry]:
    return _misfits([Misfit(batch.name, batch.digest, role, True, reason) for batch, reason in damaged], params)


def _misfits(misfits: Sequence[Misfit], params: Params) -> list[Entry]:
    """Files of which no row could be read, refused by the same suite."""
    if not misfits:
        return []
    from data_checks.batches import judge

    facts = [{"unreadable": int(misfit.unreadable), "misfit": int(not misfit.unreadable)} for misfit in misfits]
    return [
        Entry(misfit.name, misfit.digest, misfit.role, "refused", misfit.reason, [check.name for check in failed])
        for misfit, failed in zip(misfits, judge(facts, params.events.max_rejected), strict=True)
    ]
