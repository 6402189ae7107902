"""A user's own files: formats, column mapping, row order, and every way in which a file can be wrong."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2gr.database import database
from s2gr.errors import UserError
from s2gr.params import Runtime, Source
from s2gr.sources import Landing, load, open_source

EVENTS = [("u1", "a", 1_400_000_000), ("u2", "b", 1_400_000_001), ("u1", "c", 1_400_000_002)]
ITEMS = [("a", "Apple", "red"), ("b", "Bread", "brown"), ("c", "Cheese", "yellow")]


@pytest.fixture
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with database(Runtime(), tmp_path_factory.mktemp("state")) as connection:
        yield connection


def rows(connection: duckdb.DuckDBPyConnection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT * EXCLUDE (batch) FROM {table} ORDER BY batch, row").fetchall()


def read_all(source: Source, connection: duckdb.DuckDBPyConnection) -> Landing:
    """What the stage does: rows are read, and can be found malformed, after the file was opened."""
    landing = open_source(source, connection, source.path)
    for number, batch in enumerate(landing.batches):
        load(batch, number, connection)
    return landing


def first_record(landing: Landing, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    batch = landing.of("interactions")[0]
    return dict(json.loads(connection.execute(f"SELECT record FROM ({batch.records}) WHERE row = 1").fetchall()[0][0]))


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


def test_without_a_file_that_fits_as_items_there_are_none(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    (tmp_path / "log.csv").write_text(csv("user_id,item_id,timestamp", EVENTS))
    assert open_source(Source(kind="files", path=tmp_path), connection, tmp_path).of("items") == []


GOOD = "user_id,item_id,timestamp\nu,i,1\n"


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


def test_a_missing_folder_and_a_missing_file_are_named(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(UserError, match=r"nowhere is not a folder"):
        open_source(Source(kind="files", path=tmp_path / "nowhere"), connection, tmp_path)
    with pytest.raises(UserError, match=r"log\.csv does not exist"):
        open_source(Source(kind="files", path=tmp_path, interactions="log.csv"), connection, tmp_path)


def test_when_nothing_fits_the_columns_found_are_told(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    (tmp_path / "log.csv").write_text("uid,iid,ts\n1,2,3\n")
    with pytest.raises(
        UserError, match=r"user_id, item_id, timestamp; log\.csv has the columns uid, iid, ts; name file and columns"
    ):
        open_source(Source(kind="files", path=tmp_path), connection, tmp_path)


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


@pytest.mark.parametrize("role", ["interactions", "items"])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_file_outside_the_source_folder_is_refused(
    role: str, absolute: bool, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    folder = tmp_path / "landing"
    folder.mkdir()
    for place in (folder, tmp_path):
        (place / "log.csv").write_text(GOOD)
    name = str(tmp_path / "log.csv") if absolute else "../log.csv"
    source = Source.model_validate({"kind": "files", "path": folder, "interactions": "log.csv", role: name})
    with pytest.raises(UserError, match=rf"source\.{role}: '.*log\.csv' is not below source\.path \(.*landing\); put"):
        open_source(source, connection, tmp_path)


def test_an_absolute_name_below_the_source_folder_is_accepted(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    (tmp_path / "log.csv").write_text(GOOD)
    source = Source(kind="files", path=tmp_path, interactions=str(tmp_path / "log.csv"))
    assert [batch.name for batch in open_source(source, connection, tmp_path).batches] == ["log.csv"]


def test_a_file_of_no_use_is_told_and_the_others_are_opened(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    (tmp_path / "log.csv").write_text(GOOD)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    (tmp_path / "twice.csv").write_text("item_id,ITEM_ID\n")
    (tmp_path / "other.csv").write_text("uid,iid,ts\n1,2,3\n")
    write_parquet(tmp_path / "listed.parquet", "user_id,item_id,timestamp", [(["u"], "i", 1)])
    landing = open_source(Source(kind="files", path=tmp_path), connection, tmp_path)
    assert [batch.name for batch in landing.batches] == ["log.csv"]
    told = {misfit.name: (misfit.unreadable, misfit.role) for misfit in landing.misfits}
    assert told == {
        "broken.parquet": (True, None),
        "empty.csv": (True, None),
        "listed.parquet": (False, "interactions"),
        "other.csv": (False, None),
        "twice.csv": (True, None),
    }
    for misfit in landing.misfits:
        assert misfit.reason.startswith(misfit.name)
        assert str(tmp_path) not in misfit.reason
        assert "\n" not in misfit.reason


def test_a_file_that_was_meant_to_be_one_of_items_is_told_what_it_lacks(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    (tmp_path / "log.csv").write_text(GOOD)
    (tmp_path / "things.csv").write_text("item_id,title\ni,Thing\n")
    for interactions in (None, "log.csv"):
        source = Source(kind="files", path=tmp_path, interactions=interactions)
        (misfit,) = open_source(source, connection, tmp_path).misfits
        assert misfit.role == "items"
        assert misfit.reason == (
            "things.csv: expected column 'text', found item_id, title; name your columns in source.item_columns"
        )


def test_every_file_that_fits_is_a_batch_and_a_content_counts_once(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    (tmp_path / "2024").mkdir()
    (tmp_path / "b.csv").write_text(GOOD)
    (tmp_path / "2024/a.csv").write_text(GOOD)
    write_parquet(tmp_path / "c.parquet", "user_id,item_id,timestamp", EVENTS)
    (tmp_path / "things.csv").write_text(csv("item_id,title,text", ITEMS))
    landing = open_source(Source(kind="files", path=tmp_path), connection, tmp_path)
    assert [batch.name for batch in landing.of("interactions")] == ["2024/a.csv", "c.parquet"]
    assert [batch.name for batch in landing.of("items")] == ["things.csv"]
    assert landing.copies == {"b.csv": "2024/a.csv"}
    assert landing.batches[0].digest == hashlib.sha256(GOOD.encode()).hexdigest()


@pytest.mark.parametrize(("bad", "good"), [("a.csv", "b.jsonl"), ("b.csv", "a.jsonl"), ("a.jsonl", "b.jsonl")])
def test_a_sound_name_of_a_content_counts_before_one_that_is_refused(
    bad: str, good: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    for name in (bad, good, "c.csv"):
        (tmp_path / name).write_text(jsonl("user_id,item_id,timestamp", EVENTS))
    (tmp_path / f"{bad}.sha256").write_text("0" * 64)
    landing = open_source(Source(kind="files", path=tmp_path), connection, tmp_path)
    assert [batch.name for batch in landing.batches] == [good]
    assert landing.copies == {bad: good, "c.csv": good}
    assert not landing.misfits


def test_of_a_content_that_is_nowhere_sound_one_name_is_refused(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    (tmp_path / "good.csv").write_text(GOOD)
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("no,columns\n1,2\n")
    landing = open_source(Source(kind="files", path=tmp_path), connection, tmp_path)
    assert [misfit.name for misfit in landing.misfits] == ["a.csv"]
    assert landing.copies == {"b.csv": "a.csv"}


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz", "jsonl", "jsonl.gz"])
def test_a_suffix_in_capital_letters_counts(kind: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    land_events(tmp_path, "log", kind, EVENTS)
    (tmp_path / f"log.{kind}").rename(tmp_path / f"LOG.{kind.upper()}")
    landing = read_all(Source(kind="files", path=tmp_path), connection)
    assert [(batch.name, batch.unended) for batch in landing.batches] == [(f"LOG.{kind.upper()}", False)]
    assert len(rows(connection, "interactions")) == 3


def test_data_that_is_not_read_is_told_of(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("log.csv", "more.JSON", "old.csv.bz2", "README.md", "v.npy", "log.csv.part", "_tmp.json"):
        (tmp_path / name).write_text(GOOD)
    with caplog.at_level("WARNING"):
        open_source(Source(kind="files", path=tmp_path), connection, tmp_path)
    assert [line for line in caplog.messages if "passed over (more.JSON, old.csv.bz2), as their names" in line]


def test_files_in_a_linked_folder_count_once_though_links_go_round(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    landing, elsewhere = tmp_path / "landing", tmp_path / "elsewhere"
    for folder in (landing, elsewhere):
        folder.mkdir()
    (landing / "b.csv").write_text(GOOD)
    (elsewhere / "a.csv").write_text(GOOD + "u,i,2\n")
    (landing / "more").symlink_to(elsewhere)
    (landing / "itself").symlink_to(landing)
    (elsewhere / "back").symlink_to(landing)
    opened = open_source(Source(kind="files", path=landing), connection, tmp_path)
    assert [batch.name for batch in opened.batches] == ["b.csv", "more/a.csv"]
    assert not opened.copies


@pytest.mark.parametrize("name", ["log.csv.part", "log.csv.tmp", ".log.csv", "_temporary/log.csv", ".git/log.csv"])
def test_a_file_that_is_still_being_written_does_not_count(
    name: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    (tmp_path / "good.csv").write_text(GOOD)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(GOOD + "u,half a li")
    landing = open_source(Source(kind="files", path=tmp_path), connection, tmp_path)
    assert [batch.name for batch in landing.batches] == ["good.csv"]
    assert not landing.misfits


def test_patterns_say_which_files_count_and_the_others_are_left_out(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    for number, name in enumerate(("log-1.csv", "log-2.csv", "backup.csv")):
        (tmp_path / name).write_text(f"{GOOD}u,i,{number}\n")
    (tmp_path / "other.csv").write_text("uid,iid,ts\n1,2,3\n")
    source = Source(kind="files", path=tmp_path, interactions="log-*.csv")
    landing = open_source(source, connection, tmp_path)
    assert [batch.name for batch in landing.batches] == ["log-1.csv", "log-2.csv"]
    assert not landing.misfits
    with pytest.raises(UserError, match=r"source\.interactions: no file in .* matches 'web-\*'; correct the pattern"):
        open_source(source.model_copy(update={"interactions": "web-*"}), connection, tmp_path)


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz", "jsonl", "jsonl.gz"])
@pytest.mark.parametrize("name", ["log[1]", "log*", "log?", "[log]1", "log[!1]", "**"])
def test_signs_of_a_pattern_in_a_files_name_are_read_as_they_stand(
    name: str, kind: str, tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    folder = tmp_path / "land[1]"
    for place, events in ((tmp_path / "land1", EVENTS[:1]), (folder, EVENTS[:1])):
        place.mkdir()
        land_events(place, "log1", kind, events)
    land_events(folder, name, kind, EVENTS[1:])
    # Named, it goes before what it would match as a pattern.
    for source in (Source(kind="files", path=folder), Source(kind="files", path=folder, interactions=f"{name}.{kind}")):
        connection.execute("DROP TABLE IF EXISTS interactions; DROP TABLE IF EXISTS items")
        landing = read_all(source, connection)
        (number,) = (n for n, batch in enumerate(landing.batches) if batch.name == f"{name}.{kind}")
        found = connection.execute(f"SELECT user_id, item_id FROM interactions WHERE batch = {number}").fetchall()
        assert found == [(user, item) for user, item, _ in EVENTS[1:]]
        assert len(landing.batches) == (1 if source.interactions else 2)


def test_vectors_of_items_in_the_same_folder_are_none_of_ours(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    (tmp_path / "log.csv").write_text(GOOD)
    pq.write_table(pa.table({"item_id": ["i"], "embedding": [[0.5, 0.5]]}), tmp_path / "vectors.parquet")
    landing = open_source(Source(kind="files", path=tmp_path), connection, tmp_path)
    assert not landing.misfits


def test_a_change_of_the_folder_is_noticed(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    (tmp_path / "log.csv").write_text(GOOD)
    landing = open_source(Source(kind="files", path=tmp_path), connection, tmp_path)
    assert landing.changed() == []
    (tmp_path / "new.csv.part").write_text(GOOD)
    assert landing.changed() == []
    (tmp_path / "new.csv.part").rename(tmp_path / "new.csv")
    assert landing.changed() == [tmp_path / "new.csv"]
    with (tmp_path / "log.csv").open("a") as file:
        file.write("u,i,2\n")
    assert landing.changed() == [tmp_path / "log.csv", tmp_path / "new.csv"]
