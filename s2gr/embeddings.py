"""Item embeddings as an artefact: ``item_id`` and a fixed-size list of float32, in the catalogue's order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from s2gr.workspace import read_table

Matrix = npt.NDArray[np.float32]

# A row shorter than this has no direction.
_NO_LENGTH = 1e-12


def embedding_table(item_ids: Sequence[str] | pa.ChunkedArray, embeddings: Matrix) -> pa.Table:
    """Rows ``item_id, embedding`` of ``embeddings`` float32 ``[items, dim]``."""
    flat = pa.array(np.ascontiguousarray(embeddings, dtype=np.float32).reshape(-1))
    return pa.table(
        {"item_id": item_ids, "embedding": pa.FixedSizeListArray.from_arrays(flat, list_size=embeddings.shape[1])}
    )


def embedding_matrix(table: pa.Table) -> Matrix:
    """Float32 ``[items, dim]`` of the column ``embedding``."""
    column = table["embedding"].combine_chunks()
    dim = column.type.list_size
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), dtype=np.float32).reshape(-1, dim)


def read_embeddings(path: Path) -> tuple[list[str], Matrix]:
    """The item ids of an embeddings artefact, and float32 ``[items, dim]`` in the same order."""
    table = read_table(path, ["item_id", "embedding"])
    return table["item_id"].to_pylist(), embedding_matrix(table)


def has_direction(embeddings: Matrix) -> npt.NDArray[np.bool_]:
    """Bool ``[items]``: whether a row can be scaled to unit length."""
    return np.asarray(_lengths(embeddings) > _NO_LENGTH)


def unit_rows(embeddings: Matrix) -> Matrix:
    """The rows scaled to unit L2 norm; rows without a direction stay as they are."""
    lengths = _lengths(embeddings)
    return np.asarray(embeddings / np.where(lengths > _NO_LENGTH, lengths, 1.0)[:, None], dtype=np.float32)


def _lengths(embeddings: Matrix) -> npt.NDArray[np.float64]:
    # einsum and not norm(): no second copy of the matrix in float64.
    return np.sqrt(np.einsum("id,id->i", embeddings, embeddings, dtype=np.float64))
