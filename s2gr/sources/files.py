"""A user's own Parquet, CSV or JSONL files, with their columns mapped to ours by ``source.*_columns``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import duckdb

from s2gr.console import log
from s2gr.errors import UserError
from s2gr.params import Source
from s2gr.sources.folder import (
    SUFFIXES,
    TEXT_SUFFIXES,
    candidates,
    digest,
    identity,
    is_pattern,
    landed_files,
    passed_over,
    sidecar,
    snapshot,
    suffix,
    with_sidecars,
)
from s2gr.sources.formats import DataFile, open_file
from s2gr.sources.landing import Batch, Landing, Misfit, Role
from s2gr.sources.timestamps import check_time_type

_ROLES: tuple[Role, Role] = ("interactions", "items")


def open_files(source: Source, connection: duckdb.DuckDBPyConnection) -> Landing:
    """Every file below ``source.path`` with the mapped columns is a batch: of interactions, or else of items.

    Where ``source.interactions`` or ``source.items`` names files, only those have that role, and files that fit
    nothing are left out without a word.
    """
    if not source.path.is_dir():
        raise UserError(f"source.path: {source.path.absolute()} is not a folder; give the one that holds your files")
    _tell_of_unread(source)
    named = {role: _named(source, role) for role in _ROLES}
    before = snapshot(with_sidecars(landed_files(source)))
    digests = {path: digest(path) for path in before}
    batches: list[Batch] = []
    misfits: list[Misfit] = []
    ignored: list[Misfit] = []
    copies: dict[str, str] = {}
    taken: dict[str, str] = {}
    for path in (path for path in landed_files(source) if path in digests):
        wanted = [role for role in _ROLES if (paths := named[role]) is None or path in paths]
        # A role that was given to this very file goes before one that it could have.
        given = [role for role in wanted if named[role] is not None]
        name, content = path.relative_to(source.path).as_posix(), digests[path]
        if content in taken:
            copies[name] = taken[content]
            continue
        found = _open(source, connection, path, name, content, given or wanted, given)
        if isinstance(found, str):
            ignored.append(Misfit(name, content, None, False, found))
            continue
        if isinstance(found, Misfit):
            misfits.append(found)
            continue
        taken[content] = name
        batches.append(found)
    # A wrong suffix, or a wrong digest beside it, is of no account where the same content is read under another name.
    refused = [misfit for misfit in misfits if taken.setdefault(misfit.digest, misfit.name) == misfit.name]
    copies |= {misfit.name: taken[misfit.digest] for misfit in misfits if taken[misfit.digest] != misfit.name}
    if not any(batch.role == "interactions" for batch in batches):
        raise UserError(_nothing_fits(source, refused))
    known = identity(digests.values())
    return Landing(batches, refused, ignored, copies, before, known, lambda: with_sidecars(landed_files(source)))


def _tell_of_unread(source: Source) -> None:
    # Whoever names files knows of the others.
    if source.interactions is not None or source.items is not None:
        return
    names = [path.relative_to(source.path).as_posix() for path in passed_over(source.path)]
    if names:
        told, known = ", ".join(names[:3]), ", ".join(SUFFIXES)
        log.warning("%d files are passed over (%s), as their names end in none of %s", len(names), told, known)


def _named(source: Source, role: Role) -> list[Path] | None:
    """The files of ``source.interactions`` or ``source.items``, a name or a pattern; None: nothing is said."""
    name = source.interactions if role == "interactions" else source.items
    if name is None:
        return None
    if not is_pattern(source, name):
        path = source.file(name, f"source.{role}")
        if not path.is_file():
            raise UserError(f"source.{role}: {path.absolute()} does not exist; check source.path and the file's name")
        return [path]
    found = [path for path in candidates(source.path) if fnmatch(path.relative_to(source.path).as_posix(), name)]
    if not found and role == "interactions":
        raise UserError(f"source.{role}: no file in {source.path.absolute()} matches {name!r}; correct the pattern")
    return found


def _open(
    source: Source,
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    name: str,
    content: str,
    roles: Sequence[Role],
    given: Sequence[Role],
) -> Batch | Misfit | str:
    """The file as a batch of the first of ``roles`` that it fits; why it is none of ours."""
    if not roles:
        return "named neither in source.interactions nor in source.items"
    role = roles[0] if len(roles) == 1 else None
    if (told := _told_digest(path)) not in (None, content):
        reason = f"{name}: {sidecar(path).name} tells SHA-256 {told}, but the file has {content}; copy the file again"
        return Misfit(name, content, role if given else None, True, reason)
    try:
        file = open_file(path, connection)
    except UserError as error:
        return Misfit(name, content, role if given else None, True, _local(error, path, name))
    fitting = [one for one in roles if set(columns_of(source, one)) <= set(file.columns)]
    try:
        if fitting:
            return _batch(source, file, name, content, fitting[0])
    except UserError as error:
        return Misfit(name, content, fitting[0], False, _local(error, path, name))
    has = ", ".join(file.columns) or "none"
    meant = roles[0] if given else "items" if "items" in roles and _describes_items(source, file) else None
    if meant:
        missing = [column for column in columns_of(source, meant) if column not in file.columns]
        text = f"{name}: expected column {', '.join(map(repr, missing))}, found {has}"
        return Misfit(name, content, meant, False, f"{text}; name your columns in source.{_section(meant)}")
    # Vectors for `content.embeddings` lie in the same folder; and whoever names files knows of the others.
    if "embedding" in file.columns:
        return "vectors, for content.embeddings"
    if source.interactions is not None or source.items is not None:
        return f"named in no parameter, and its columns ({has}) fit nothing"
    wanted = " nor those of ".join(f"{one} ({', '.join(columns_of(source, one))})" for one in roles)
    return Misfit(
        name,
        content,
        role,
        False,
        f"{name} has the columns {has}: neither those of {wanted}; correct the file, map its columns in "
        "source.interaction_columns or source.item_columns, or name the files that count in source.interactions",
    )


def _batch(source: Source, file: DataFile, name: str, content: str, role: Role) -> Batch:
    """Raises: UserError: a column is of a type that can't be what it should."""
    columns, mapping = source.interaction_columns, source.item_columns
    if role == "interactions":
        moment: str | None = columns.timestamp
        values = f"{_identity(file, columns.user)} AS user_id, {_identity(file, columns.item)} AS item_id"
    else:
        moment = mapping.updated if mapping.updated in file.columns else None
        values = item_values(source, file)
    kind = file.columns[moment] if moment else "TIMESTAMP"
    value = file.value(moment) if moment else "CAST(NULL AS TIMESTAMP)"
    check_time_type(kind, f"{file.path}: column {moment!r}")
    return Batch(
        name=name,
        path=file.path,
        digest=content,
        role=role,
        rows=f"SELECT s2gr_row AS row, {values}, {value} AS moment FROM ({file.scan})",
        records=f"SELECT s2gr_row AS row, {file.record()} AS record FROM ({file.scan})",
        moment=kind,
        unit=source.timestamp_unit,
        column=moment or columns.timestamp,
        unended=not _ends_in_a_line(file.path),
    )


def item_values(source: Source, file: DataFile) -> str:
    """SQL of ``item_id``, ``title`` and ``text``; without the columns of the last two they are NULL and empty.

    Raises: UserError: the ids are of a type that can't be one.
    """
    mapping = source.item_columns
    title = _text(file, mapping.title) if mapping.title in file.columns else "NULL"
    texts = ", ".join(_text(file, column) for column in mapping.text if column in file.columns) or "NULL"
    return f"{_identity(file, mapping.item)} AS item_id, {title} AS title, concat_ws('. ', {texts}) AS text"


def _told_digest(path: Path) -> str | None:
    """What the file beside it says of its SHA-256; None: there is none."""
    try:
        text = sidecar(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # "digest  name", or the digest alone.
    return text.split()[0].lower() if text.split() else "nothing"


def _ends_in_a_line(path: Path) -> bool:
    """False for text whose last line has no end: it may have been cut within it. Packed text has a checksum."""
    if suffix(path) not in TEXT_SUFFIXES:
        return True
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def columns_of(source: Source, role: Role) -> list[str]:
    """The columns that a file of this role has."""
    columns, mapping = source.interaction_columns, source.item_columns
    if role == "interactions":
        return [columns.user, columns.item, columns.timestamp]
    return list(dict.fromkeys([mapping.item, *([mapping.title] if mapping.title else []), *mapping.text]))


def _describes_items(source: Source, file: DataFile) -> bool:
    """Whether a file that lacks some column was meant to be one of items: it has the id and what describes it."""
    mapping = source.item_columns
    described = {mapping.title, *mapping.text} - {mapping.item}
    strange = {source.interaction_columns.user, "embedding"}
    return mapping.item in file.columns and not described.isdisjoint(file.columns) and strange.isdisjoint(file.columns)


def _section(role: Role) -> str:
    return f"{role.removesuffix('s')}_columns"


def _local(error: UserError, path: Path, name: str) -> str:
    """The message with the path as it is stored: without the folder, which differs from machine to machine."""
    return str(error).replace(str(path.absolute()), name).replace(str(path), name)


def _nothing_fits(source: Source, misfits: Sequence[Misfit]) -> str:
    faults = [misfit for misfit in misfits if misfit.unreadable or misfit.role == "interactions"]
    if faults:
        more = f" (further files that are of no use: {len(faults) - 1})" if len(faults) > 1 else ""
        return f"{source.path}: {faults[0].reason}{more}"
    seen = "".join(f"; {misfit.reason.split(':')[0]}" for misfit in misfits[:3])
    wanted = ", ".join(columns_of(source, "interactions"))
    return (
        f"{source.path}: no Parquet, CSV or JSONL file has the columns {wanted}{seen}; "
        "name file and columns in source.interactions and source.interaction_columns"
    )


def _identity(file: DataFile, name: str) -> str:
    """An id as text without blanks around it, NULL where it is missing or blank."""
    kind, value = file.columns[name], file.value(name)
    if kind in ("FLOAT", "DOUBLE"):
        # Whole numbers beside a missing one come as floats out of pandas: 196.0 is 196.
        whole = f"TRY_CAST({value} AS HUGEINT)"
        return f"CASE WHEN {whole} = {value} THEN CAST({whole} AS VARCHAR) END"
    if kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "BLOB", "BOOLEAN", "DATE", "TIME", "INTERVAL")):
        raise UserError(f"{file.path}: column {name!r} has type {kind}: expected text or whole numbers as ids")
    text = f"trim(CAST({value} AS VARCHAR))"
    # The same whole numbers, written as text. Few texts end so: the expression is spared for all others.
    whole = rf"CASE WHEN suffix({text}, '0') THEN regexp_replace({text}, '^(-?\d+)\.0+$', '\1') ELSE {text} END"
    return f"nullif({whole}, '')"


def _text(file: DataFile, name: str) -> str:
    """A text column, NULL where it is blank."""
    return f"nullif(trim({file.text(name)}), '')"
