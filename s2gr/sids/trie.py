"""The prefix trie of all semantic IDs as dense tables, one per level, for masks without a Python loop.

A node of depth ``l`` is a prefix of ``l`` codes that some item has; nodes are numbered in the order of their prefixes.
``children[l][node, code]`` is the node of depth ``l + 1``, or −1. At depth L a node is an item.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from s2gr.errors import UserError
from s2gr.workspace import read_table

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SemanticIds:
    """Item ids and their codes, in the order of ``items.parquet``."""

    item_ids: list[str]
    codes: IntArray  # [items, L]


@dataclass(frozen=True)
class Trie:
    """The dense tables, and which item each leaf is."""

    children: tuple[npt.NDArray[np.int32], ...]  # L tables [nodes of depth l, K]
    leaf_item: IntArray  # [items]


def read_sids(path: Path, catalogue: Sequence[str]) -> SemanticIds:
    """Read ``sids.parquet``.

    Raises: UserError: if two items share a semantic ID, naming both, or the items are not those of ``catalogue``.
    """
    table = read_table(path)
    names = sorted((name for name in table.column_names if name.startswith("code_")), key=lambda name: int(name[5:]))
    codes = np.stack([pc.cast(table[name], "int64").to_numpy() for name in names], axis=1)
    item_ids = table["item_id"].to_pylist()
    if item_ids != list(catalogue):
        raise UserError(
            f"{path}: expected the {len(catalogue)} items of items.parquet in their order, found {len(item_ids)} "
            "others; run the stages from `content` on again (`dvc repro`)"
        )
    order = np.lexsort(codes.T[::-1])
    same = np.flatnonzero((np.diff(codes[order], axis=0) == 0).all(1))
    if len(same):
        first, second = (item_ids[order[same[0] + step]] for step in (0, 1))
        raise UserError(f"{path}: items {first} and {second} share the semantic ID {codes[order[same[0]]].tolist()}")
    return SemanticIds(item_ids, codes)


def build_trie(codes: IntArray, size: int) -> Trie:
    """The trie of unique codes ``[items, L]``, each in ``[0, size)``."""
    order = np.lexsort(codes.T[::-1])
    ordered = codes[order]
    node = np.zeros(len(codes), dtype=np.int64)  # of each item in order, at the current depth
    tables = []
    for level in range(codes.shape[1]):
        key = node * size + ordered[:, level]
        first = np.r_[True, key[1:] != key[:-1]]
        child = np.cumsum(first) - 1
        table = np.full((int(node[-1]) + 1, size), -1, dtype=np.int32)
        table[node[first], ordered[first, level]] = child[first]
        tables.append(table)
        node = child
    return Trie(tuple(tables), order)
