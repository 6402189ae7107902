"""Every format gives the same rows: column mapping, missing values, IDs, row order."""

import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2gr.database import database
from s2gr.params import Runtime, Source
from s2gr.sources import Landing

from .small import EVENTS, ITEMS, csv, jsonl, read_all, rows, write_parquet


def first_record(landing: Landing, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    batch = landing.of("interactions")[0]
    return dict(json.loads(connection.execute(f"SELECT record FROM ({batch.records}) WHERE row = 1").fetchall()[0][0]))


def land(folder: Path, kind: str) -> None:
    columns, item_columns = "user_id,item_id,timestamp", "item_id,title,text"
    match kind:
        case "parquet":
            write_parquet(folder / "log.parquet", columns, EVENTS)
            write_parquet(folder / "things.parquet", item_columns, ITEMS)
        case "csv":
            (folder / "log.csv").write_text(csv(columns, EVENTS))
            (folder / "things.csv").write_text(csv(item_columns, ITEMS))
        case "tsv with carriage returns":
            (folder / "log.tsv").write_bytes(
                csv("\t".join(columns.split(",")), EVENTS, "\t").replace("\n", "\r\n").encode()
            )
            (folder / "things.csv").write_text("\ufeff" + csv(item_columns, ITEMS))
        case "csv.gz":
            (folder / "log.csv.gz").write_bytes(gzip.compress(csv(columns, EVENTS).encode()))
            (folder / "things.csv.gz").write_bytes(gzip.compress(csv(item_columns, ITEMS).encode()))
        case "jsonl":
            (folder / "log.jsonl").write_text(jsonl(columns, EVENTS))
            (folder / "things.jsonl.gz").write_bytes(gzip.compress(jsonl(item_columns, ITEMS).encode()))


@pytest.mark.parametrize("kind", ["parquet", "csv", "tsv with carriage returns", "csv.gz", "jsonl"])
def test_every_format_gives_the_same_rows(kind: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    land(tmp_path, kind)
    landing = read_all(Source(kind="files", path=tmp_path), connection)
    assert [(batch.role, batch.name.split(".")[0]) for batch in landing.batches] == [
        ("interactions", "log"),
        ("items", "things"),
    ]
    start = datetime(2014, 5, 13, 16, 53, 20)
    assert rows(connection, "interactions") == [
        (row, user, item, start.replace(second=20 + row - 1)) for row, (user, item, _) in enumerate(EVENTS, 1)
    ]
    assert rows(connection, "items") == [
        (r, i, title, f"{title}. {text}", None, None) for r, (i, title, text) in enumerate(ITEMS, 1)
    ]
    assert {key: str(value) for key, value in first_record(landing, connection).items()} == {
        "user_id": "u1",
        "item_id": "a",
        "timestamp": "1400000000",
    }


def test_columns_are_mapped_and_lists_of_text_are_joined(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    (tmp_path / "log.csv").write_text("who;what's that;when it was\n7;x;2014-01-01\n")
    (tmp_path / "meta.jsonl").write_text('{"asin": "x", "na\\"me": null, "tags": ["red", "old"], "brand": " "}\n')
    source = Source.model_validate(
        {
            "kind": "files",
            "path": tmp_path,
            "interactions": "log.csv",
            "items": "meta.jsonl",
            "interaction_columns": {"user": "who", "item": "what's that", "timestamp": "when it was"},
            "item_columns": {"item": "asin", "title": 'na"me', "text": ["brand", "tags"]},
        }
    )
    read_all(source, connection)
    assert rows(connection, "interactions") == [(1, "7", "x", datetime(2014, 1, 1))]
    assert rows(connection, "items") == [(1, "x", None, "red, old", None, None)]


def test_missing_values_are_null_and_float_ids_are_whole_numbers(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    table = pa.table({"user_id": [196.0, None, float("nan")], "item_id": ["a", " ", None], "timestamp": [1, 2, None]})
    pq.write_table(table, tmp_path / "log.parquet")
    read_all(Source(kind="files", path=tmp_path), connection)
    assert [row[1:3] for row in rows(connection, "interactions")] == [("196", "a"), (None, None), (None, None)]


def test_rows_keep_the_order_of_a_file_that_several_threads_read(tmp_path: Path) -> None:
    count = 300_000
    with (tmp_path / "log.csv").open("w") as file:
        file.write("user_id,item_id,timestamp\n")
        file.writelines(f"u{row},i,{1_400_000_000 + row}\n" for row in range(1, count + 1))
    with database(Runtime(threads=4), tmp_path / "state") as connection:
        read_all(Source(kind="files", path=tmp_path), connection)
        wrong = connection.execute("SELECT count(*) FROM interactions WHERE user_id <> 'u' || row").fetchall()
        assert wrong == [(0,)]


@pytest.mark.parametrize("header", [",user_id,item_id,timestamp", "user_id,item_id,timestamp,"])
def test_a_column_without_a_name_is_accepted(
    header: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    values = ["0", "u", "i", "1"] if header.startswith(",") else ["u", "i", "1", ""]
    (tmp_path / "log.csv").write_text(f"{header}\n{','.join(values)}\n")
    landing = read_all(Source(kind="files", path=tmp_path), connection)
    assert [row[1:3] for row in rows(connection, "interactions")] == [("u", "i")]
    assert "unnamed_1" in first_record(landing, connection)


@pytest.mark.parametrize("kind", ["log.csv", "log.jsonl"])
def test_whole_numbers_as_text_are_the_same_ids(
    kind: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    data: list[tuple[Any, ...]] = [("196.0", " 2 ", 1), ("1.5", "a.0", 2), ("", " ", 3)]
    keys = "user_id,item_id,timestamp"
    (tmp_path / kind).write_text(
        csv(keys, data) if kind.endswith("csv") else jsonl(keys, [(196.0, " 2 ", 1), *data[1:]])
    )
    read_all(Source(kind="files", path=tmp_path), connection)
    assert [row[1:3] for row in rows(connection, "interactions")] == [("196", "2"), ("1.5", "a.0"), (None, None)]
