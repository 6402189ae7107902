"""Content that the user brings: a ``.npy`` matrix with its ids, one a line, or Parquet (``item_id``, ``embedding``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from s2gr.embeddings import Matrix, has_direction, unit_rows
from s2gr.errors import UserError
from s2gr.params import Source

# What DuckDB's trim, which the event log's ids go through, takes for blanks: Unicode's space separators, and no tab.
_BLANKS = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


def load_precomputed(item_ids: Sequence[str], source: Source, file: str, ids_file: str | None) -> Matrix:
    """Float32 ``[items, dim]`` with unit rows, in the order of ``item_ids``; rows of other items are ignored.

    ``file`` and ``ids_file`` lie below ``source.path``.

    Raises: UserError: a file that is missing, malformed or disagrees with itself, an item without an embedding, or one
        whose embedding is not finite or all zero; the first such item and its row (from 1) are named.
    """
    path = source.file(file, "content.embeddings")
    if not path.is_file():
        raise UserError(f"content.embeddings: {path.absolute()} does not exist (it is looked for below source.path)")
    if path.suffix.lower() == ".npy":
        if ids_file is None:
            raise UserError(f"content.ids: {path} needs the text file of its item ids, one a line, in row order")
        ids_path = source.file(ids_file, "content.ids")
        vectors, ids = _read_npy(path), _read_ids(ids_path)
    elif path.suffix.lower() == ".parquet":
        vectors, ids, ids_path = *read_parquet_vectors(path, "item_id"), path
    else:
        raise UserError(f"content.embeddings: {path} must be a .npy or a .parquet file")
    if len(ids) != len(vectors):
        raise UserError(f"{path} has {len(vectors)} rows, but {ids_path} has {len(ids)} ids; they must agree")
    return _select(item_ids, vectors, row_of([plain_id(item_id) for item_id in ids], ids_path), path)


def plain_id(item_id: str) -> str:
    """The id as the event log has it: without blanks around it, and 196 for 196.0."""
    return re.sub(r"^(-?\d+)\.0+\Z", r"\1", item_id.strip(_BLANKS), flags=re.ASCII)


def _read_npy(path: Path) -> npt.NDArray[np.floating]:
    try:
        # Mapped, not read: the rows of items that are not in the catalogue need no memory.
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"{path} is not a whole .npy file of numbers ({error}); write it with numpy.save") from error
    if not isinstance(vectors, np.ndarray) or vectors.ndim != 2 or vectors.shape[1] == 0:
        shape = getattr(vectors, "shape", None)
        raise UserError(f"{path}: expected the shape (items, dimensions), found {shape}")
    if vectors.dtype.kind != "f":
        raise UserError(f"{path}: expected float16, float32 or float64, found {vectors.dtype}")
    return vectors


def _read_ids(path: Path) -> list[str]:
    if not path.is_file():
        raise UserError(f"content.ids: {path.absolute()} does not exist (it is looked for below source.path)")
    try:
        # As bytes: a text reader takes a lone carriage return for the end of a line, which may be part of an id.
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#x}") from error
    lines = re.split(r"\r?\n", text)
    return lines if lines[-1] else lines[:-1]


def read_parquet_vectors(
    path: Path, id_column: str, dim: int | None = None
) -> tuple[npt.NDArray[np.floating], list[str]]:
    """The lists of column ``embedding`` as ``[rows, dim]``, and the ids as they stand there.

    Raises: UserError: the file is not readable, lacks a column, or its lists are not all equally long (``dim``, if it
        is given).
    """
    try:
        found = pq.read_schema(path).names
        missing = [name for name in (id_column, "embedding") if name not in found]
        if missing:
            raise UserError(f"{path}: expected columns {id_column} and embedding, found {', '.join(found)}")
        table = pq.read_table(path, columns=[id_column, "embedding"])
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}); write it again") from error
    column = table["embedding"].combine_chunks()
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not pa.types.is_floating(kind.value_type):
        raise UserError(f"{path}: expected lists of float16, float32 or float64 as embedding, found {kind}")
    ids = [_as_text(value) for value in table[id_column].to_pylist()]
    # A missing list has length None here.
    lengths = np.asarray(pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False))
    told = f"the catalogue's have {dim}"
    if dim is None:
        dim = int(np.bincount(lengths).argmax()) if len(lengths) else 0
        told = f"most have {dim}"
    wrong = np.flatnonzero(lengths != dim)
    if len(wrong):
        row = int(wrong[0])
        raise UserError(f"{path}, row {row + 1}, item {ids[row]!r}: the embedding has {lengths[row]} numbers, {told}")
    if not dim:
        raise UserError(f"{path}: expected embeddings of at least one dimension, found empty ones")
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim), ids


def _as_text(value: Any) -> str:
    """An id of any type as DuckDB casts it, which has the event log's ids: all digits of a whole number."""
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def row_of(ids: list[str], path: Path) -> dict[str, int]:
    """The row of each id. Raises: UserError: an id is missing, or stands there twice."""
    rows: dict[str, int] = {}
    for row, item_id in enumerate(ids):
        if not item_id:
            raise UserError(f"{path}, row {row + 1}: the item id is missing")
        first = rows.setdefault(item_id, row)
        if first != row:
            raise UserError(f"{path}: item {item_id!r} stands in row {first + 1} and again in row {row + 1}")
    return rows


def _select(item_ids: Sequence[str], vectors: npt.NDArray[np.floating], rows: dict[str, int], path: Path) -> Matrix:
    without = [item_id for item_id in item_ids if item_id not in rows]
    if without:
        raise UserError(
            f"{path}: {len(without)} of {len(item_ids)} items have no embedding, the first is {without[0]!r}"
        )
    found = np.fromiter((rows[item_id] for item_id in item_ids), dtype=np.int64, count=len(item_ids))
    return unit_vectors(vectors[found], item_ids, found, path)


def unit_vectors(
    vectors: npt.NDArray[np.floating], item_ids: Sequence[str], rows: npt.NDArray[np.int64], path: Path
) -> Matrix:
    """``vectors`` as float32 with unit rows; they stand in ``rows`` of ``path``, which a fault names.

    Raises: UserError: one is not finite, or all zero.
    """
    # A float64 too large for float32 becomes infinite, and is then named like any other.
    with np.errstate(over="ignore"):
        selected = np.asarray(vectors, dtype=np.float32)
    finite = np.isfinite(selected).all(axis=1)
    for usable, fault in ((finite, "not finite (NaN or infinity)"), (has_direction(selected), "all zero")):
        if not usable.all():
            first = int(usable.argmin())
            count = int((~usable).sum())
            raise UserError(
                f"{path}, row {rows[first] + 1}, item {item_ids[first]!r}: the embedding is {fault} "
                f"({count} such item{'s' if count > 1 else ''}); correct it or leave the item out of the log"
            )
    return unit_rows(selected)
