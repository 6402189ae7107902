"""Parquet, CSV and JSONL under one face: the columns of a file, and SQL that reads them in the file's own row order."""

from __future__ import annotations

import csv
import gzip
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import duckdb

from s2gr.database import identifier, literal, one_file
from s2gr.errors import UserError
from s2gr.sources.faults import long_line, readable
from s2gr.sources.folder import SUFFIXES, suffix

# Keys that the first so many lines of a JSONL file show are its columns.
_SAMPLE = 10_000
# Bytes; a longer first line is no header.
_LONGEST_HEADER = 100_000
# Bytes that must hold the end of a line; DuckDB refuses lines of over 2,000,000 itself, mostly.
_LONGEST_LINE = 2**21


@dataclass(frozen=True)
class DataFile:
    """One file as a table."""

    path: Path
    # SQL that gives all columns, and `s2gr_row`, which counts from 1.
    scan: str
    # Column name → DuckDB type.
    columns: dict[str, str]

    def value(self, column: str) -> str:
        """SQL of one column's value, in the column's type."""
        return identifier(column)

    def text(self, column: str) -> str:
        """SQL of a column as text; a list's elements are joined."""
        if self.columns[column].endswith("[]"):
            return f"array_to_string({identifier(column)}, ', ')"
        return f"CAST({identifier(column)} AS VARCHAR)"

    def record(self) -> str:
        """SQL of the whole row as JSON text."""
        fields = ", ".join(f"{literal(name)}, {identifier(name)}" for name in self.columns)
        return f"CAST(json_object({fields}) AS VARCHAR)"


class JsonLines(DataFile):
    """A file whose lines are JSON objects; every column is text."""

    def value(self, column: str) -> str:
        return f"json_extract_string(record, {_json_path(column)})"

    def text(self, column: str) -> str:
        path, value = _json_path(column), self.value(column)
        elements = f"from_json(json_extract(record, {path}), '[\"VARCHAR\"]')"
        return f"CASE WHEN json_type(record, {path}) = 'ARRAY' THEN array_to_string({elements}, ', ') ELSE {value} END"

    def record(self) -> str:
        return "CAST(record AS VARCHAR)"


def open_file(path: Path, connection: duckdb.DuckDBPyConnection) -> DataFile:
    """Look at the file's columns; its rows are read later, by ``scan``.

    Raises: UserError: it is missing, empty, of another kind than its suffix says, or of an unknown one.
    """
    if not path.is_file():
        raise UserError(f"{path.absolute()} does not exist; check source.path and the file's name")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; expected columns and rows")
    kind = suffix(path).removesuffix(".gz")
    if not kind:
        raise UserError(f"{path}: expected a file that ends in one of {', '.join(SUFFIXES)}")
    with readable(path):
        if kind == ".parquet":
            return _open_parquet(path, connection)
        if kind in (".csv", ".tsv"):
            return _open_csv(path)
        return _open_jsonl(path, connection)


def _open_parquet(path: Path, connection: duckdb.DuckDBPyConnection) -> DataFile:
    columns = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({one_file(path)})").fetchall()
    scan = (
        "SELECT file_row_number + 1 AS s2gr_row, * EXCLUDE (file_row_number) "
        f"FROM read_parquet({one_file(path)}, file_row_number = true)"
    )
    return DataFile(path, scan, {name: kind for name, kind, *_ in columns})


def _open_csv(path: Path) -> DataFile:
    # Names and separator come from the header line alone, all values are text: nothing is guessed from the data.
    header = _first_line(path)
    separator = max(",;\t|", key=header.count)
    names = _named(next(csv.reader([header], delimiter=separator), []))
    # SQL does not tell upper from lower case; `s2gr_row` is ours.
    distinct = {name.casefold() for name in (*names, "s2gr_row")}
    if not header.strip() or len(distinct) <= len(names):
        raise UserError(
            f"{path}, line 1: expected distinct column names (upper and lower case are the same), "
            f"found {header[:200]!r}; rename the columns"
        )
    _refuse_long_lines(path)
    types = "{" + ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names) + "}"
    scan = (
        f"SELECT row_number() OVER () AS s2gr_row, * FROM read_csv({_text(path)}, columns = {types}, header = true, "
        f"auto_detect = false, delim = {literal(separator)}, quote = '\"', escape = '\"')"
    )
    return DataFile(path, scan, dict.fromkeys(names, "VARCHAR"))


def _text(path: Path) -> str:
    """The first arguments of ``read_csv`` and ``read_ndjson_objects``."""
    # Told, as DuckDB takes what follows a ``?`` for no part of the name.
    return f"{one_file(path)}, compression = '{'gzip' if _packed(path) else 'none'}'"


def _named(names: list[str]) -> list[str]:
    """Names for the columns that have none: the index that pandas writes, or what a trailing separator makes."""
    unnamed = itertools.count(1)
    return [name if name.strip() else f"unnamed_{next(unnamed)}" for name in names]


def _unpack(path: Path) -> None:
    """Read a packed file to its end: Python holds it against its checksum, DuckDB does not."""
    with gzip.open(path) as file:
        while file.read(_LONGEST_LINE):
            pass


def _refuse_long_lines(path: Path) -> None:
    """DuckDB passes over a last line that is longer than its buffer (32 MB), and says nothing."""
    lines = 0
    with _bytes(path) as file:
        while block := file.read(_LONGEST_LINE):
            if len(block) == _LONGEST_LINE and b"\n" not in block:
                raise UserError(long_line(path, lines + 1))
            lines += block.count(b"\n")


def _bytes(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if _packed(path) else path.open("rb")


def _packed(path: Path) -> bool:
    return suffix(path).endswith(".gz")


def _first_line(path: Path) -> str:
    # As bytes: a text reader decodes ahead, and a fault further down would be told as one of line 1.
    with _bytes(path) as file:
        line = file.readline(_LONGEST_HEADER)
    header = line.rstrip(b"\r\n")
    if b"\r" in header:
        raise UserError(f"{path}: its lines end with a carriage return alone; save it with line feeds (LF or CRLF)")
    if len(line) == _LONGEST_HEADER:
        raise UserError(f"{path}, line 1: expected column names, found a line of over {_LONGEST_HEADER:,} bytes")
    return header.decode("utf-8-sig")


def _open_jsonl(path: Path, connection: duckdb.DuckDBPyConnection) -> DataFile:
    if _packed(path):
        _unpack(path)
    scan = f"SELECT row_number() OVER () AS s2gr_row, json AS record FROM read_ndjson_objects({_text(path)})"
    keys = connection.execute(
        f"SELECT DISTINCT unnest(json_keys(record)) AS key FROM ({scan} LIMIT {_SAMPLE}) ORDER BY key"
    ).fetchall()
    return JsonLines(path, scan, {key: "VARCHAR" for (key,) in keys})


def _json_path(column: str) -> str:
    # $."name": the key as it is, whatever signs are in it.
    return literal('$."' + column.replace('"', '\\"') + '"')
