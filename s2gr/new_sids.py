"""Semantic IDs of items that came after training (``s2gr assign``), and how they join the catalogue.

They lie in a file of their own, ``data/sids_new.parquet`` (``item_id, title, code_1, …, embedding``: the content), as
the stages' outputs are DVC's. The file remembers which ``sids.parquet`` its IDs are free beside.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from s2gr.embeddings import Matrix, embedding_matrix, embedding_table
from s2gr.errors import UserError
from s2gr.files import file_hash
from s2gr.sids.semantic_ids import SemanticIds, read_codes, sid_table
from s2gr.workspace import Workspace, read_table, write_table

_MADE_BESIDE = b"s2gr_sids_sha256"


@dataclass(frozen=True)
class NewSids:
    """New items, in the order in which they came."""

    sids: SemanticIds
    titles: list[str]
    # Content embeddings, float32 [items, dim], unit rows.
    content: Matrix


def new_sids_path(workspace: Workspace) -> Path:
    """``data/sids_new.parquet``."""
    return workspace.root / "data/sids_new.parquet"


def join_new_sids(catalogue: SemanticIds, workspace: Workspace) -> tuple[SemanticIds, NewSids | None]:
    """The catalogue followed by the new items, if there are any: rows of the catalogue stay what they are.

    Raises: UserError: as :func:`read_new_sids`, or two items share an id or a semantic ID.
    """
    path = new_sids_path(workspace)
    if not path.exists():
        return catalogue, None
    new = read_new_sids(path, workspace.sids)
    item_ids = catalogue.item_ids + new.sids.item_ids
    if len(set(item_ids)) < len(item_ids):
        twice = next(item_id for item_id in new.sids.item_ids if item_ids.count(item_id) > 1)
        raise UserError(f"{path}: item {twice!r} is in the catalogue already; delete the file and assign again")
    joined = SemanticIds(item_ids, np.concatenate([catalogue.codes, new.sids.codes]))
    joined.refuse_shared(path)
    return joined, new


def read_new_sids(path: Path, sids: Path) -> NewSids:
    """Read what :func:`write_new_sids` wrote.

    Raises: UserError: it is missing or damaged, or was made beside another ``sids.parquet``.
    """
    table = read_table(path, ["item_id", "title", "embedding"])
    if (pq.read_schema(path).metadata or {}).get(_MADE_BESIDE) != _digest(sids):
        raise UserError(
            f"{path} was made beside other semantic IDs than those in {sids}, where its own need not be free; "
            "delete it, and run `s2gr assign` again for the items that are still new"
        )
    # A copy: a view of the file could not become a tensor that is written to.
    return NewSids(read_codes(path), table["title"].to_pylist(), embedding_matrix(table).copy())


def write_new_sids(new: NewSids, path: Path, sids: Path) -> None:
    """Write all of ``new``, or nothing."""
    table = sid_table(new.sids.item_ids, new.sids.codes)
    table = table.add_column(1, "title", pa.array(new.titles, pa.string()))
    table = table.append_column("embedding", embedding_table(new.sids.item_ids, new.content)["embedding"])
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    write_table(table.replace_schema_metadata({_MADE_BESIDE: _digest(sids)}), temporary)
    os.replace(temporary, path)


def _digest(sids: Path) -> bytes:
    return file_hash(sids).encode()
