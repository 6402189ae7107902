"""Every way in which a file can be wrong is told in one line that names it."""

import gzip
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2gr.errors import UserError
from s2gr.params import Source
from s2gr.sources import open_source

from .small import EVENTS, GOOD, land_events, read_all, write_parquet


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", "user_id,item,timestamp\nu,i,1\n", r"expected column 'item_id', found user_id, item, timestamp"),
        ("log.jsonl", '{"user_id": 1}\n', r"expected column 'item_id', 'timestamp', found user_id"),
        ("log.csv", "", r"log\.csv is empty"),
        ("log.csv", "\n1,2,3\n", r"line 1: expected distinct column names"),
        ("log.csv", "user_id,item_id,timestamp,User_ID\nu,i,1,u\n", r"line 1: expected distinct column names \(upper"),
        ("log.csv", "user_id,item_id,timestamp,S2GR_row\nu,i,1,1\n", r"line 1: expected distinct column names"),
        ("log.csv", GOOD.replace("\n", "\r"), r"its lines end with a carriage return alone; save it"),
        ("log.csv", "u" * 200_000 + "\n", r"found a line of over 100,000 bytes"),
        ("log.csv", GOOD + "u,i\n", r"line 3: expected Number of Columns: 3 Found: 2 in 'u,i'"),
        ("log.csv", GOOD + 'u,"i,1\nu,i,2\n', r"line 3: value with unterminated quote found"),
        ("log.csv", (GOOD + "u,\xe9,2\n").encode("latin-1"), r"line 3: expected UTF-8 text"),
        ("log.csv", "us\xe9r,item_id,timestamp\n".encode("latin-1"), r"expected UTF-8 text, found byte 0xe9 in line 1"),
        ("log.csv.gz", gzip.compress(GOOD.encode() * 9999)[:-20], r"log\.csv\.gz"),
        ("log.csv.gz", GOOD, r"not a whole gzip file"),
        (
            "log.jsonl",
            '{"user_id": 1, "item_id": 2, "timestamp": 3}\n{"user_id": 1,,}\n',
            r"Malformed JSON in the file, at byte \d+ in row 2",
        ),
        ("log.jsonl", '{"user_id": "\xe9"}\n'.encode("latin-1"), r"save the file as UTF-8"),
        ("log.parquet", b"PAR1 and then nothing", r"log\.parquet is not readable"),
        ("log.xlsx", b"PK", r"expected a file that ends in one of \.parquet, \.csv"),
    ],
)
def test_a_broken_file_is_told_in_one_line(
    name: str, content: str | bytes, message: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    source = Source(kind="files", path=tmp_path, interactions=name)
    with pytest.raises(UserError, match=message) as caught:
        read_all(source, connection)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("kind", ["csv.gz", "jsonl.gz", "ndjson.gz"])
def test_a_packed_file_is_held_against_its_checksum(
    kind: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    land_events(tmp_path, "log", kind, EVENTS)
    path = tmp_path / f"log.{kind}"
    read_all(Source(kind="files", path=tmp_path), connection)
    content = bytearray(path.read_bytes())
    content[-8] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"log\..*not a whole gzip file \(CRC check failed.*copy it again"):
        read_all(Source(kind="files", path=tmp_path), connection)


@pytest.mark.parametrize("megabytes", [3, 40])
@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        ("log.csv", GOOD, "", r"line 3: expected less than 2 MB"),
        ("log.csv", GOOD, ",i,2\n", r"line 3: expected less than 2 MB"),
        ("log.csv", GOOD + '"', '",i,2\nu,i,3\n', r"line 3: expected less than 2 MB"),
        ("log.csv.gz", GOOD, "", r"line 3: expected less than 2 MB"),
        (
            "log.jsonl",
            '{"user_id": "u", "item_id": "i", "timestamp": 1}\n{"',
            "",
            r"log\.jsonl.*(longer line|alformed)",
        ),
        ("log.jsonl", "", "", r"log\.jsonl.*(longer line|alformed)"),
    ],
)
def test_a_line_of_megabytes_is_refused_wherever_it_stands(
    megabytes: int,
    name: str,
    before: str,
    after: str,
    message: str,
    tmp_path: Path,
    connection: duckdb.DuckDBPyConnection,
) -> None:
    content = before.encode() + b"u" * (megabytes << 20) + after.encode()
    (tmp_path / name).write_bytes(gzip.compress(content, 1) if name.endswith(".gz") else content)
    with pytest.raises(UserError, match=message) as caught:
        read_all(Source(kind="files", path=tmp_path, interactions=name), connection)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_truncated_parquet_file_is_refused(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    path = tmp_path / "log.parquet"
    write_parquet(path, "user_id,item_id,timestamp", EVENTS)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UserError, match=r"log\.parquet is not readable"):
        open_source(Source(kind="files", path=tmp_path), connection, tmp_path)


def test_a_column_of_the_wrong_type_is_named(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    pq.write_table(pa.table({"user_id": [[1, 2]], "item_id": [1], "timestamp": [1]}), tmp_path / "log.parquet")
    with pytest.raises(UserError, match=r"column 'user_id' has type .*\[\]: expected text or whole numbers"):
        open_source(Source(kind="files", path=tmp_path), connection, tmp_path)
