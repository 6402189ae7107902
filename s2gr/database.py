"""DuckDB as the stages use it: in memory, within ``runtime.memory_gb``, spilling below ``.s2gr/``, SQL from files."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from s2gr.params import Runtime
from s2gr.workspace import sweep


@contextmanager
def database(runtime: Runtime, state: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database; what does not fit into memory goes to a folder below ``state`` that is removed after.

    Those of processes that were killed are removed first.
    """
    state.mkdir(parents=True, exist_ok=True)
    sweep(state, "duckdb")
    spill = Path(tempfile.mkdtemp(prefix=f"duckdb-{os.getpid()}-", dir=state))
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{round(runtime.memory_gb * 1024)}MiB",
        "temp_directory": str(spill),
        # Nothing phones home, and no format support is fetched behind the user's back.
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    if runtime.threads:
        config["threads"] = runtime.threads
    connection = duckdb.connect(":memory:", config=config)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        yield connection
    finally:
        connection.close()
        shutil.rmtree(spill, ignore_errors=True)


def sql(module_file: str, name: str) -> str:
    """The text of the ``.sql`` file ``name`` beside a module: ``sql(__file__, "counts.sql")``."""
    return Path(module_file).with_name(name).read_text(encoding="utf-8")


def literal(value: str | Path) -> str:
    """``value`` as an SQL string, for the places (views, COPY) that take no parameters."""
    return "'" + str(value).replace("'", "''") + "'"


def one_file(path: str | Path) -> str:
    """``path`` as an SQL string for ``read_*``, which takes a ``[``, ``*`` or ``?`` for a pattern of other names."""
    return literal(re.sub(r"([\[*?])", r"[\1]", str(path)))


def identifier(name: str) -> str:
    """``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def one_row(connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The one row of an aggregate ``query``: column → value."""
    cursor = connection.execute(query, dict(parameters))
    names = [column[0] for column in cursor.description or ()]
    (values,) = cursor.fetchall()
    return dict(zip(names, values, strict=True))
