"""Item embeddings as a Parquet artefact: ``item_id`` and a fixed-size list of float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from s2gr.workspace import read_table, write_table

FloatArray = npt.NDArray[np.float32]


def read_embeddings(path: Path) -> tuple[list[str], FloatArray]:
    """The item ids, and their embeddings as float32 ``[items, dim]`` in the same order."""
    table = read_table(path, ["item_id", "embedding"])
    column = table["embedding"].combine_chunks()
    matrix = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    return table["item_id"].to_pylist(), np.ascontiguousarray(matrix, dtype=np.float32)


def write_embeddings(item_ids: list[str], embeddings: FloatArray, path: Path) -> None:
    """Write float32 ``[items, dim]`` beside the ids of its rows."""
    flat = pa.array(np.ascontiguousarray(embeddings, dtype=np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, embeddings.shape[1])
    write_table(pa.table({"item_id": pa.array(item_ids, pa.string()), "embedding": column}), path)
