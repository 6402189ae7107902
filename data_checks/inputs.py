"""What the checks read: the column types of a workspace's files, its JSON, and one-row SQL aggregates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from s2gr.database import one_row
from s2gr.errors import UserError
from s2gr.workspace import read_json, readable_artefact

Facts = dict[str, Any]


def json_artefact(path: Path, stage: str, keys: Iterable[str]) -> dict[str, Any]:
    """The object in ``path``, which ``stage`` writes.

    Raises: UserError: if the file is missing or damaged, or lacks one of ``keys``.
    """
    if not path.exists():
        raise UserError(f"{path} is missing: run the stage `{stage}` first (`dvc repro`, or `s2gr run`)")
    try:
        content: dict[str, Any] = read_json(path)
        missing = [key for key in keys if key not in content]
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}); run the stage `{stage}` again") from error
    if missing:
        raise UserError(f"{path}: expected {', '.join(missing)}, found {', '.join(content)}; run `{stage}` again")
    return content


def column_types(path: Path) -> dict[str, str]:
    """Column → Arrow type, from the file's footer.

    Raises: UserError: if the file is missing or damaged.
    """
    return {column.name: _plain(column.type) for column in pq.read_schema(readable_artefact(path, []))}


def type_facts(found: Mapping[str, str], expected: Mapping[str, str]) -> Facts:
    """``{column}_type``: the type, or ``missing``."""
    return {f"{column}_type": found.get(column, "missing") for column in expected}


def fetch_facts(connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any]) -> Facts:
    """The one row of an aggregate ``query``: column → a value that a report can show."""
    return {name: _readable(value) for name, value in one_row(connection, query, parameters).items()}


def _plain(kind: pa.DataType) -> str:
    # How strings are laid out does not matter to any reader.
    return "string" if kind in (pa.string(), pa.large_string(), pa.string_view()) else str(kind)


def _readable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
