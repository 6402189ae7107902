"""What the checks read: the parameters of a workspace, the column types of its files, and one-row SQL aggregates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from s2gr.database import readable_artefact
from s2gr.params import Params, load_params

Facts = dict[str, Any]


def params_of(workspace_root: Path) -> Params:
    """``params.yaml`` of the workspace, or the defaults where it has none (a folder made by ``s2gr run``)."""
    file = workspace_root / "params.yaml"
    return load_params([file]) if file.exists() else Params()


def column_types(path: Path) -> dict[str, str]:
    """Column → Arrow type, from the file's footer.

    Raises: UserError: if the file is missing or damaged.
    """
    return {column.name: _plain(column.type) for column in pq.read_schema(readable_artefact(path, []))}


def type_facts(found: Mapping[str, str], expected: Mapping[str, str]) -> Facts:
    """``{column}_type``: the type, or ``missing``."""
    return {f"{column}_type": found.get(column, "missing") for column in expected}


def fetch_facts(connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any]) -> Facts:
    """The one row of an aggregate ``query``: column → value."""
    cursor = connection.execute(query, dict(parameters))
    names = [column[0] for column in cursor.description]
    row = cursor.fetchone()
    assert row is not None, "an aggregate without GROUP BY has one row"
    return {name: _readable(value) for name, value in zip(names, row, strict=True)}


def _plain(kind: pa.DataType) -> str:
    # How strings are laid out does not matter to any reader.
    return "string" if kind in (pa.string(), pa.large_string(), pa.string_view()) else str(kind)


def _readable(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and math.isnan(value):
        return None
    return value
