"""Tables of semantic IDs: ``item_id, code_1, …, code_L``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from s2gr.errors import UserError
from s2gr.workspace import read_table

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SemanticIds:
    """Item ids and their codes."""

    item_ids: list[str]
    codes: IntArray  # [items, L]

    def refuse_shared(self, where: Path) -> None:
        """Raises: UserError: if two items share a semantic ID, naming both and ``where`` they come from."""
        order = np.lexsort(self.codes.T[::-1])
        same = np.flatnonzero((np.diff(self.codes[order], axis=0) == 0).all(1))
        if len(same):
            first, second = (self.item_ids[order[same[0] + step]] for step in (0, 1))
            sid = self.codes[order[same[0]]].tolist()
            raise UserError(f"{where}: items {first} and {second} share the semantic ID {sid}")


def read_sids(path: Path, catalogue: Sequence[str]) -> SemanticIds:
    """Read ``sids.parquet``, in the order of ``items.parquet``.

    Raises: UserError: if two items share a semantic ID, naming both, or the items are not those of ``catalogue``.
    """
    sids = read_codes(path)
    if sids.item_ids != list(catalogue):
        raise UserError(
            f"{path}: expected the {len(catalogue)} items of items.parquet in their order, found "
            f"{len(sids.item_ids)} others; run the stages from `content` on again (`dvc repro`)"
        )
    sids.refuse_shared(path)
    return sids


def read_codes(path: Path) -> SemanticIds:
    """Read any table of semantic IDs. Raises: UserError: it is missing, damaged or has other columns."""
    table = read_table(path)
    names = code_columns(table.column_names)
    if not names or "item_id" not in table.column_names:
        raise UserError(f"{path}: expected columns item_id, code_1, code_2, …, found {', '.join(table.column_names)}")
    # Not by `to_numpy`, which imports pandas, and that takes as long as all else that a start needs but torch.
    columns = [np.from_dlpack(table[name].cast(pa.int64()).combine_chunks()) for name in names]
    return SemanticIds(table["item_id"].to_pylist(), np.stack(columns, axis=1))


def code_columns(names: Sequence[str]) -> list[str]:
    """Those of ``names`` that are codes, by level."""
    found = [name for name in names if name.startswith("code_") and name[5:].isdecimal()]
    return sorted(found, key=lambda name: int(name[5:]))


def sid_table(item_ids: Sequence[str], codes: IntArray) -> pa.Table:
    """``item_id`` as string and ``code_1`` … as int32."""
    columns = {f"code_{level + 1}": pa.array(codes[:, level], pa.int32()) for level in range(codes.shape[1])}
    return pa.table({"item_id": pa.array(item_ids, pa.string()), **columns})
