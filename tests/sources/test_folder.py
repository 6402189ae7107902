"""Which files of a folder count, and what is told of the others."""

import hashlib
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2gr.errors import UserError
from s2gr.params import Source
from s2gr.sources import open_source

from .small import EVENTS, GOOD, ITEMS, csv, jsonl, land_events, read_all, rows, write_parquet


def test_without_a_file_that_fits_as_items_there_are_none(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    (tmp_path / "log.csv").write_text(csv("user_id,item_id,timestamp", EVENTS))
    assert open_source(Source(kind="files", path=tmp_path), connection, tmp_path).of("items") == []


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
