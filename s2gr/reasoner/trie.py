"""The prefix trie of all semantic IDs in compressed form, for masks without a Python loop.

A node of depth ``l`` is a prefix of ``l`` codes that some item has; nodes of a depth are numbered in the order of their
prefixes, so the children of a node are neighbours. At depth L a node is an item. Memory is linear in the items: a dense
table of 1 M nodes by 256 codes would take 1 GB a level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from s2gr.sids.semantic_ids import IntArray


@dataclass(frozen=True)
class Trie:
    """For each depth ``l`` below L, the children of its nodes: in the order of their codes, node after node."""

    # int32 [nodes of depth l, and one]: the children of node n are ``first[l][n] … first[l][n + 1] − 1``
    first: tuple[npt.NDArray[np.int32], ...]
    # int32 [nodes of depth l + 1]: the last code of each node
    code: tuple[npt.NDArray[np.int32], ...]
    leaf_item: IntArray  # [items]: which item each node of depth L is


def build_trie(codes: IntArray) -> Trie:
    """The trie of unique codes ``[items, L]``."""
    order = np.lexsort(codes.T[::-1])
    ordered = codes[order]
    node = np.zeros(len(codes), dtype=np.int64)  # of each item in order, at the current depth
    first, code = [], []
    for level in range(codes.shape[1]):
        new = np.r_[True, (np.diff(node) != 0) | (np.diff(ordered[:, level]) != 0)]
        children = np.bincount(node[new])
        first.append(np.concatenate([[0], np.cumsum(children)]).astype(np.int32))
        code.append(ordered[new, level].astype(np.int32))
        node = np.cumsum(new) - 1
    return Trie(tuple(first), tuple(code), order)
