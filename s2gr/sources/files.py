"""A user's own Parquet, CSV or JSONL files, with their columns mapped to ours by ``source.*_columns``."""

from __future__ import annotations

from pathlib import Path

import duckdb

from s2gr.console import log
from s2gr.errors import UserError
from s2gr.params import Source
from s2gr.sources.faults import readable
from s2gr.sources.formats import SUFFIXES, DataFile, open_file
from s2gr.sources.landing import LandedFile, Landing
from s2gr.sources.timestamps import timestamp_sql


def open_files(source: Source, connection: duckdb.DuckDBPyConnection) -> Landing:
    """Create the views that :mod:`s2gr.sources.landing` describes from the files of ``source``.

    A file that is not named is the only one below ``source.path`` that has the mapped columns; if none fits as items,
    there are none.
    """
    if not source.path.is_dir():
        raise UserError(f"source.path: {source.path.absolute()} is not a folder; give the one that holds your files")
    columns, mapping = source.interaction_columns, source.item_columns
    wanted = [columns.user, columns.item, columns.timestamp]
    interactions = _named(source, connection, source.interactions, "interactions", wanted)
    if interactions is None:
        interactions = _only_fitting(source, connection, "interactions", wanted, taken=None)
    if interactions is None:
        raise UserError(
            f"{source.path}: no Parquet, CSV or JSONL file has the columns {', '.join(wanted)}"
            f"{_seen(source, connection)}; name file and columns in source.interactions and source.interaction_columns"
        )
    _view_interactions(source, connection, interactions)

    wanted = list(dict.fromkeys([mapping.item, *([mapping.title] if mapping.title else []), *mapping.text]))
    items = _named(source, connection, source.items, "items", wanted)
    if items is None:
        items = _only_fitting(source, connection, "items", wanted, taken=interactions.path)
    if items is not None:
        _view_items(source, connection, items)
    return Landing(_landed(interactions, source), _landed(items, source) if items else None)


def _named(
    source: Source, connection: duckdb.DuckDBPyConnection, name: str | None, role: str, wanted: list[str]
) -> DataFile | None:
    if name is None:
        return None
    file = open_file(source.file(name, f"source.{role}"), connection)
    missing = [column for column in wanted if column not in file.columns]
    if missing:
        raise UserError(
            f"{file.path}: expected column {', '.join(map(repr, missing))}, found {', '.join(file.columns) or 'none'}; "
            f"name your columns in source.{role.removesuffix('s')}_columns"
        )
    return file


def _only_fitting(
    source: Source, connection: duckdb.DuckDBPyConnection, role: str, wanted: list[str], taken: Path | None
) -> DataFile | None:
    """The only file below ``source.path`` that has the ``wanted`` columns, or None."""
    files, faults = _opened([path for path in _candidates(source) if path != taken], connection)
    fitting = [file for file in files if set(wanted) <= set(file.columns)]
    if len(fitting) > 1:
        names = ", ".join(_name(file.path, source) for file in fitting)
        raise UserError(
            f"{source.path}: more than one file has the columns of {role} ({names}); name one in source.{role}"
        )
    if fitting:
        # A file that can't be read is no hindrance as long as another one fits.
        return fitting[0]
    if role == "interactions" and faults:
        raise faults[0]
    for fault in faults:
        log.warning("left out in the search for items: %s", fault)
    return None


def _opened(paths: list[Path], connection: duckdb.DuckDBPyConnection) -> tuple[list[DataFile], list[UserError]]:
    """The files that can be read, and what is wrong with the others."""
    files: list[DataFile] = []
    faults: list[UserError] = []
    for path in paths:
        try:
            files.append(open_file(path, connection))
        except UserError as error:
            faults.append(error)
    return files, faults


def _candidates(source: Source) -> list[Path]:
    return [path for path in sorted(source.path.rglob("*")) if path.is_file() and path.name.endswith(SUFFIXES)]


def _seen(source: Source, connection: duckdb.DuckDBPyConnection) -> str:
    files, _ = _opened(_candidates(source), connection)
    return "".join(f"; {_name(file.path, source)} has {', '.join(file.columns) or 'none'}" for file in files[:3])


def _view_interactions(source: Source, connection: duckdb.DuckDBPyConnection, file: DataFile) -> None:
    columns = source.interaction_columns
    with readable(file.path):
        connection.execute(f"CREATE VIEW raw_interactions AS {file.scan}")
    where = f"{file.path}: column {columns.timestamp!r}"
    kind = file.columns[columns.timestamp]
    with readable(file.path):
        timestamp = timestamp_sql(
            connection, "raw_interactions", file.value(columns.timestamp), kind, source.timestamp_unit, where
        )
    connection.execute(f"""
        CREATE VIEW interactions AS
        SELECT s2gr_row AS row, {_identity(file, columns.user)} AS user_id, {_identity(file, columns.item)} AS item_id,
            {timestamp} AS timestamp
        FROM raw_interactions""")
    connection.execute(
        f"CREATE VIEW interaction_records AS SELECT s2gr_row AS row, {file.record()} AS record FROM raw_interactions"
    )


def _view_items(source: Source, connection: duckdb.DuckDBPyConnection, file: DataFile) -> None:
    columns = source.item_columns
    with readable(file.path):
        connection.execute(f"CREATE VIEW raw_items AS {file.scan}")
    title = _text(file, columns.title) if columns.title else "NULL"
    texts = ", ".join(_text(file, name) for name in columns.text)
    connection.execute(f"""
        CREATE VIEW items AS
        SELECT s2gr_row AS row, {_identity(file, columns.item)} AS item_id, {title} AS title,
            concat_ws('. ', {texts}) AS text
        FROM raw_items""")
    connection.execute(f"CREATE VIEW item_records AS SELECT s2gr_row AS row, {file.record()} AS record FROM raw_items")


def _identity(file: DataFile, name: str) -> str:
    """An id as text without blanks around it, NULL where it is missing or blank."""
    kind, value = file.columns[name], file.value(name)
    if kind in ("FLOAT", "DOUBLE"):
        # Whole numbers beside a missing one come as floats out of pandas: 196.0 is 196.
        whole = f"TRY_CAST({value} AS HUGEINT)"
        return f"CASE WHEN {whole} = {value} THEN CAST({whole} AS VARCHAR) END"
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "BLOB", "BOOLEAN", "DATE", "TIME", "INTERVAL")):
        raise UserError(f"{file.path}: column {name!r} has type {kind}: expected text or whole numbers as ids")
    # The same whole numbers, written as text.
    return rf"nullif(regexp_replace(trim(CAST({value} AS VARCHAR)), '^(-?\d+)\.0+$', '\1'), '')"


def _text(file: DataFile, name: str) -> str:
    """A text column, NULL where it is blank."""
    return f"nullif(trim({file.text(name)}), '')"


def _landed(file: DataFile, source: Source) -> LandedFile:
    return LandedFile(_name(file.path, source), file.path)


def _name(path: Path, source: Source) -> str:
    """The path as it is told and stored: without the folder, which differs from machine to machine."""
    return path.relative_to(source.path).as_posix()
