"""A small log and its items in files of every format, and reading them as the stage does."""

import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from s2gr.params import Source
from s2gr.sources import Landing, load, open_source

EVENTS = [("u1", "a", 1_400_000_000), ("u2", "b", 1_400_000_001), ("u1", "c", 1_400_000_002)]
ITEMS = [("a", "Apple", "red"), ("b", "Bread", "brown"), ("c", "Cheese", "yellow")]
GOOD = "user_id,item_id,timestamp\nu,i,1\n"


def rows(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT * EXCLUDE (batch) FROM {table} ORDER BY batch, row").fetchall()


def read_all(source: Source, connection: duckdb.DuckDBPyConnection) -> Landing:
    """What the stage does: rows are read, and can be found malformed, after the file was opened."""
    landing = open_source(source, connection, source.path)
    for number, batch in enumerate(landing.batches):
        load(batch, number, connection)
    return landing


def csv(header: str, data: list[tuple[Any, ...]], separator: str = ",") -> str:
    return "\n".join([header, *(separator.join(map(str, row)) for row in data)]) + "\n"


def jsonl(keys: str, data: list[tuple[Any, ...]]) -> str:
    return "".join(json.dumps(dict(zip(keys.split(","), row, strict=True))) + "\n" for row in data)


def write_parquet(path: Path, keys: str, data: list[tuple[Any, ...]]) -> None:
    pq.write_table(pa.table(dict(zip(keys.split(","), map(list, zip(*data, strict=True)), strict=True))), path)


def land_events(folder: Path, name: str, kind: str, data: list[tuple[Any, ...]]) -> None:
    columns, path = "user_id,item_id,timestamp", folder / f"{name}.{kind}"
    match kind:
        case "parquet":
            write_parquet(path, columns, data)
        case _:
            text = (csv if "csv" in kind else jsonl)(columns, data).encode()
            path.write_bytes(gzip.compress(text) if kind.endswith(".gz") else text)
