"""The reference and the current window of events, counted in DuckDB.

With a published model the reference is the log that it was made from, and the current window the newest days, and some
events at least, of what has happened since: of the events of the workspace's log, or all of a file, that are newer than
that log's last one. Without one, the newest share of the workspace's log is compared with the training events before
it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

from data_checks.inputs import Facts
from data_checks.psi import Counts
from s2gr.database import literal, one_file, sql
from s2gr.errors import UserError
from s2gr.manifest import read_manifest
from s2gr.params import Params
from s2gr.publish.provenance import AHEAD
from s2gr.sids.semantic_ids import code_columns
from s2gr.sources import load, open_source
from s2gr.workspace import Workspace, readable_artefact

LOG = ["user_id", "item_id", "timestamp", "position", "split"]
# Events of the blocks that chance is drawn from; more would tell nothing new.
_POOL = 2_000_000
_FOREVER = 1000 * 365.0


@dataclass(frozen=True)
class Tally:
    """One watched distribution: events per bin in the reference, in its newest part, and in the current window."""

    name: str
    labels: list[str]
    reference: Counts
    recent: Counts
    current: Counts


@dataclass(frozen=True)
class Blocks:
    """What hangs together (windows.sql): events of each block, and how many of them fall into each bin."""

    sizes: Counts
    # Feature → sparse [blocks, bins]; `known` has the bins without and with a semantic ID.
    tables: dict[str, Any]


def create(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    published: Workspace | None,
    file: Path | None,
    params: Params,
) -> None:
    """Make the tables of windows.sql and bins.sql.

    Args:
        published: the published model's bundle; None compares within the workspace's own log.
        file: events that are the current window, in the place of the workspace's log.
    Raises: UserError: if a file is missing or damaged.
    """
    now = _until(datetime.now(UTC))
    _view_sids(connection, readable_artefact((published or workspace).sids, ["item_id", "code_1", "code_2"]))
    if published is None:
        log = readable_artefact(workspace.events, LOG)
        newest = max(1, round(pq.read_metadata(log).num_rows * params.drift.window))
        connection.execute(sql(__file__, "newest.sql").format(log=one_file(log), newest=newest, now=now))
    else:
        _view_log(connection, workspace.events, file is not None)
        if file is None:
            connection.execute("CREATE VIEW newer AS FROM workspace_log")
        else:
            _view_file(connection, file, params)
        log = readable_artefact(published.reference_log, ["user_id", "item_id", "timestamp", "position"])
        # A file says itself what is to be looked at.
        days = params.drift.days if file is None and params.drift.days else _FOREVER
        window = f"'{round(days * 86_400)} seconds'"
        created = _until(datetime.fromisoformat(read_manifest(published.root).facts["created"]))
        places = {"log": one_file(log), "published": created, "now": now}
        connection.execute(sql(__file__, "since.sql").format(**places, window=window, fewest=params.drift.events))
    connection.execute(sql(__file__, "windows.sql"))
    connection.execute(sql(__file__, "bins.sql"))


def describe(connection: duckdb.DuckDBPyConnection) -> Facts:
    """Sizes and first and last instants of both windows, and the last of the times ``ahead`` of the clock."""
    ((ahead,),) = connection.execute("SELECT coalesce(CAST(max(timestamp) AS VARCHAR), 'none') FROM ahead").fetchall()
    facts: Facts = {"ahead": ahead}
    for side in ("reference", "current"):
        (row,) = connection.execute(
            "SELECT count(*), count(codes), count(DISTINCT block), min(timestamp), max(timestamp) "
            "FROM windows WHERE side = ?",
            [side],
        ).fetchall()
        facts |= {f"{side}_events": row[0], f"{side}_with_sid": row[1], f"{side}_blocks": row[2]}
        facts |= {f"{side}_from": _instant(row[3]), f"{side}_to": _instant(row[4])}
    return facts


def cut(connection: duckdb.DuckDBPyConnection) -> int:
    """Events of a file, in the place of the workspace's log, that are on items too rare to be in the log."""
    ((events,),) = connection.execute("SELECT count(*) FROM readable SEMI JOIN rare USING (item_id)").fetchall()
    return int(events)


def tallies(connection: duckdb.DuckDBPyConnection) -> list[Tally]:
    """Of each feature of bins.sql, by name."""
    rows = connection.execute(
        "SELECT feature, bin, reference, recent, current FROM counts ORDER BY feature, number"
    ).fetchall()
    found = []
    for name in dict.fromkeys(row[0] for row in rows):
        mine = [row for row in rows if row[0] == name]
        columns = np.array([row[2:] for row in mine], dtype=np.int64).T
        found.append(Tally(name, [str(row[1]) for row in mine], *columns))
    return found


def blocks(connection: duckdb.DuckDBPyConnection, generator: np.random.Generator) -> Blocks:
    """All blocks, or of many events a random choice of blocks with about ``_POOL`` of them."""
    sizes = _column(connection, "SELECT count(*) AS n FROM windows GROUP BY block ORDER BY block", "n")
    chosen = np.arange(len(sizes))
    if sizes.sum() > _POOL:
        shuffled = generator.permutation(len(sizes))
        chosen = np.sort(shuffled[: int(np.searchsorted(np.cumsum(sizes[shuffled]), _POOL)) + 1])
    place = np.full(len(sizes), -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    connection.register("chosen_blocks", pa.table({"block": chosen.astype(np.int32)}))
    known = connection.execute(
        "SELECT block, codes IS NOT NULL AS bin FROM windows SEMI JOIN chosen_blocks USING (block)"
    ).fetchnumpy()
    tables = {"known": _table(place[known["block"]], known["bin"].astype(np.int64), (len(chosen), 2))}
    levels = connection.execute("SELECT feature, max(number) + 1 FROM counts GROUP BY feature").fetchall()
    for feature, bins in levels:
        value = "codes[1] || '-' || codes[2]" if feature == "prefix" else f"codes[{feature.removeprefix('code_')}]"
        rows = connection.execute(
            f"""
            SELECT block, number AS bin
            FROM windows
            SEMI JOIN chosen_blocks USING (block)
            JOIN bins ON bins.feature = $feature AND bins.value = CAST({value} AS VARCHAR)
            JOIN counts ON counts.feature = $feature AND counts.bin = bins.bin
            """,
            {"feature": feature},
        ).fetchnumpy()
        tables[feature] = _table(place[rows["block"]], rows["bin"], (len(chosen), bins))
    connection.unregister("chosen_blocks")
    return Blocks(sizes[chosen], tables)


def sample(connection: duckdb.DuckDBPyConnection, side: str, params: Params) -> dict[str, list[str]]:
    """Feature → the bins of a seeded sample of the window's events, the same events for every feature."""
    ((total,),) = connection.execute("SELECT count(nth) FROM windows WHERE side = ?", [side]).fetchall()
    generator = np.random.default_rng([params.runtime.seed, len(side)])
    size = min(total, params.drift.sample)
    connection.register("chosen", pa.table({"nth": generator.choice(total, size=size, replace=False) + 1}))
    rows: list[tuple[list[int]]] = connection.execute(
        "SELECT codes FROM windows SEMI JOIN chosen USING (nth) WHERE side = ? ORDER BY nth", [side]
    ).fetchall()
    connection.unregister("chosen")
    bins = {
        (feature, value): label
        for feature, value, label in connection.execute("SELECT feature, value, bin FROM bins").fetchall()
    }
    columns: dict[str, list[str]] = {
        f"code_{level + 1}": [bins[f"code_{level + 1}", str(codes[level])] for (codes,) in rows]
        for level in range(len(rows[0][0]))
    }
    return {**columns, "prefix": [bins["prefix", f"{codes[0]}-{codes[1]}"] for (codes,) in rows]}


def _view_sids(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    codes = ", ".join(code_columns(pq.read_schema(path).names))
    connection.execute(
        f"CREATE VIEW sids AS SELECT item_id, list_value({codes}) AS codes "
        f"FROM read_parquet({one_file(path)}) WHERE columns(*) IS NOT NULL"
    )


def _view_log(connection: duckdb.DuckDBPyConnection, log: Path, optional: bool) -> None:
    """The workspace's log; beside a file of events it is ``optional``: without it the users have no past."""
    if optional and not log.exists():
        columns = "'' AS user_id, '' AS item_id, now() AS timestamp, 0 AS position"
        connection.execute(f"CREATE VIEW workspace_log AS SELECT {columns} WHERE false")
    else:
        connection.execute(f"CREATE VIEW workspace_log AS FROM read_parquet({one_file(readable_artefact(log, LOG))})")


def _view_file(connection: duckdb.DuckDBPyConnection, file: Path, params: Params) -> None:
    """A raw file of events, read as the source's own files are."""
    with tempfile.TemporaryDirectory(prefix="s2gr-drift-") as alone:
        # Alone in a folder: its neighbours are no part of what is asked.
        (Path(alone) / file.name).symlink_to(file.absolute())
        source = params.source.model_copy(
            update={"kind": "files", "path": Path(alone), "interactions": file.name, "items": None}
        )
        try:
            for batch in open_source(source, connection, Path(alone)).of("interactions"):
                load(batch, 0, connection)
            connection.execute(sql(__file__, "file.sql").format(k=params.events.k_core))
        except UserError as error:
            raise UserError(str(error).replace(alone, str(file.parent))) from None


def _table(rows: Counts, columns: Counts, shape: tuple[int, int]) -> Any:
    ones = np.ones(len(rows), dtype=np.int32)
    return sparse.coo_array((ones, (rows.astype(np.int32), columns.astype(np.int32))), shape=shape).tocsr()


def _column(connection: duckdb.DuckDBPyConnection, query: str, name: str) -> Counts:
    values: Counts = connection.execute(query).fetchnumpy()[name].astype(np.int64)
    return values


def _until(clock: datetime) -> str:
    """The last time that is no later than it can be, as SQL."""
    return f"TIMESTAMPTZ {literal((clock + AHEAD).isoformat())}"


def _instant(value: datetime | None) -> str:
    return "none" if value is None else value.isoformat()
