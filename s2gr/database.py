"""DuckDB as the stages use it: in memory, within ``runtime.memory_gb``, spilling below ``.s2gr/``, SQL from files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from s2gr.errors import UserError
from s2gr.params import Runtime


@contextmanager
def database(runtime: Runtime, state: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database; what does not fit into memory goes to a folder below ``state`` that is removed after."""
    state.mkdir(parents=True, exist_ok=True)
    spill = Path(tempfile.mkdtemp(prefix="duckdb-", dir=state))
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


def identifier(name: str) -> str:
    """``name`` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def readable_artefact(path: Path, columns: list[str]) -> Path:
    """``path``, once its Parquet footer was seen to hold ``columns``: for SQL that streams from the file.

    Raises: UserError: if it is missing, damaged, or lacks one of ``columns``.
    """
    if not path.exists():
        raise UserError(f"{path} is missing: run the stage that makes it first (`dvc repro`, or `s2gr run`)")
    try:
        found = pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}); delete it and run `dvc repro`") from error
    missing = sorted(set(columns) - set(found))
    if missing:
        raise UserError(f"{path}: expected column {', '.join(missing)}, found {', '.join(found)}")
    return path
