"""The landing folder as a set of contents: which files count, what identifies one, and whether the folder stood still.

A file is a batch by its SHA-256, so a second copy or a new name changes nothing. A file counts once its name says so:
write it elsewhere or under a name that does not count (``.part``, ``.tmp``, a leading ``.`` or ``_``), then rename it.
Beside ``log.csv`` may lie ``log.csv.sha256``, as ``sha256sum`` writes it: damage that no format shows is then noticed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from s2gr.errors import UserError
from s2gr.files import file_hash
from s2gr.params import Source

TEXT_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
SUFFIXES = (".parquet", *TEXT_SUFFIXES, *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES))
# Of data that is not read as it is: who puts it there should know.
_UNREAD = (".json", ".gz", ".bz2", ".xz", ".zst", ".zip", ".xlsx", ".xls", ".avro", ".orc", ".feather", ".arrow")
# Of names that do not count, folders' too: hidden files, and what Hadoop and Spark are still writing.
_UNFINISHED = (".", "_")

# Path → size, time of the last change in ns, inode.
Snapshot = dict[Path, tuple[int, int, int]]


def walk(folder: Path, onerror: Callable[[OSError], None] | None = None) -> Iterator[tuple[Path, list[str]]]:
    """``folder`` and all folders below it, each with the names of its files; linked ones as if they lay there.

    One that leads back to a folder above it is passed over.

    Args:
        onerror: called with the error of a folder that can't be listed.
    """
    above = {os.fspath(folder): {folder.resolve()}}
    for place, folders, names in os.walk(folder, onerror=onerror, followlinks=True):
        yield Path(place), names
        inside = {name: Path(place, name).resolve() for name in folders}
        folders[:] = [name for name in folders if inside[name] not in above[place]]
        above |= {os.path.join(place, name): {*above[place], inside[name]} for name in folders}


def suffix(path: Path) -> str:
    """Which of :data:`SUFFIXES` the name ends in, in small or capital letters; empty: in none."""
    return next((one for one in SUFFIXES if path.name.lower().endswith(one)), "")


def candidates(folder: Path) -> list[Path]:
    """The files below ``folder`` that count, by name."""
    return [path for path in _finished(folder) if suffix(path)]


def passed_over(folder: Path) -> list[Path]:
    """The files below ``folder`` that do not count, though they look like data."""
    return [path for path in _finished(folder) if not suffix(path) and path.name.lower().endswith(_UNREAD)]


def _finished(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(place / name for place, names in walk(folder) for name in names)
        if not any(part.startswith(_UNFINISHED) for part in path.relative_to(folder).parts) and path.is_file()
    ]


def is_pattern(source: Source, name: str) -> bool:
    """Whether ``name`` stands for several files: not if one is called just that."""
    return any(sign in name for sign in "*?[") and not (source.path / name).is_file()


def landed_files(source: Source) -> list[Path]:
    """The files that the source `files` looks at: those that count, and those that are named, whatever they are called.

    Raises: UserError: one that is named lies elsewhere.
    """
    named = {"source.interactions": source.interactions, "source.items": source.items}
    paths = [source.file(name, key) for key, name in named.items() if name and not is_pattern(source, name)]
    return list(dict.fromkeys([*candidates(source.path), *(path for path in paths if path.is_file())]))


def sidecar(path: Path) -> Path:
    """Where the SHA-256 of ``path`` stands, if its sender has told it."""
    return path.with_name(f"{path.name}.sha256")


def with_sidecars(paths: Iterable[Path]) -> list[Path]:
    return [one for path in paths for one in (path, sidecar(path)) if one == path or one.is_file()]


def digest(path: Path) -> str:
    """SHA-256 of the file's bytes. Raises: UserError: it can't be read."""
    try:
        return file_hash(path)
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}); change its permissions, or move it away") from error


def identity(digests: Iterable[str]) -> str:
    """One digest of what lies there, whatever it is called: of those of the files and of what lies beside them."""
    return hashlib.sha256("\n".join(sorted(set(digests))).encode()).hexdigest()


def snapshot(paths: Iterable[Path]) -> Snapshot:
    """The files as they are now: two that are equal mean that nothing was written in between.

    Nothing is compared with a clock, so a clock that is wrong does no harm.
    """
    found: Snapshot = {}
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            # It went since it was listed: the next listing will differ.
            continue
        found[path] = (status.st_size, status.st_mtime_ns, status.st_ino)
    return found
