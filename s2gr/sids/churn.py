"""How many items changed their semantic ID between two tables, and how much of that is renaming.

A codebook that is trained anew numbers its codes anew: every item changes, though the groups may be the same. So each
level is also compared after the best renaming of its codes (Hungarian method on the K × K table of how many items went
from code to code). The best renaming finds something to agree on by chance too, the more the fewer items there are per
pair of codes: ``chance`` is what it leaves when the items of one table are shuffled.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from s2gr.errors import UserError
from s2gr.sids.semantic_ids import IntArray, SemanticIds


@dataclass(frozen=True)
class Churn:
    """Shares of the items in both tables that changed."""

    raw: float  # by the codes' numbers
    aligned: float  # after the best renaming of each level's codes
    chance: float  # after the best renaming, if the items were shuffled


@dataclass(frozen=True)
class Comparison:
    """Two tables of semantic IDs beside each other."""

    common: int  # items in both
    gone: int  # items in the earlier one only
    new: int  # items in the later one only
    levels: tuple[Churn, ...]  # the code of each level on its own
    prefixes: tuple[Churn, ...]  # the first l codes, l = 1..L; the last one is the whole semantic ID

    def as_dict(self) -> dict[str, Any]:
        """``common``, ``gone``, ``new``, ``code_1`` …, ``prefix_2`` … and ``sid``."""
        named = {f"code_{level + 1}": asdict(churn) for level, churn in enumerate(self.levels)}
        named |= {f"prefix_{depth + 2}": asdict(churn) for depth, churn in enumerate(self.prefixes[1:-1])}
        counts = {"common": self.common, "gone": self.gone, "new": self.new}
        return {**counts, **named, "sid": asdict(self.prefixes[-1])}


def compare(before: SemanticIds, after: SemanticIds, seed: int = 0) -> Comparison:
    """Compare the items that are in both tables. ``seed`` is of the shuffle behind ``chance``.

    Raises: UserError: the tables have different numbers of levels, or no item in common.
    """
    if before.codes.shape[1] != after.codes.shape[1]:
        raise UserError(
            f"semantic IDs of {before.codes.shape[1]} levels can't be compared with those of {after.codes.shape[1]}"
        )
    row_of = {item_id: row for row, item_id in enumerate(before.item_ids)}
    later = [row for row, item_id in enumerate(after.item_ids) if item_id in row_of]
    if not later:
        raise UserError("the two tables of semantic IDs have no item in common")
    old = before.codes[[row_of[after.item_ids[row]] for row in later]]
    new = after.codes[later]
    renamed = _renamed(old, new)
    order = np.random.default_rng(seed).permutation(len(old))
    shuffled = _renamed(old[order], new)
    changed = (old != new, renamed != new, shuffled != new)
    levels = tuple(Churn(*(float(each[:, level].mean()) for each in changed)) for level in range(new.shape[1]))
    prefixes = tuple(
        Churn(*(float(each[:, : depth + 1].any(1).mean()) for each in changed)) for depth in range(new.shape[1])
    )
    common = len(later)
    return Comparison(common, len(before.item_ids) - common, len(after.item_ids) - common, levels, prefixes)


def best_renaming(old: IntArray, new: IntArray) -> IntArray:
    """For each code of ``old`` ``[items]`` a code of its own, so that most items have theirs in ``new`` ``[items]``."""
    size = int(max(old.max(), new.max())) + 1
    counts = np.bincount(old * size + new, minlength=size * size).reshape(size, size)
    renaming: IntArray = linear_sum_assignment(counts, maximize=True)[1]
    return renaming


def _renamed(old: IntArray, new: IntArray) -> IntArray:
    columns = [best_renaming(old[:, level], new[:, level])[old[:, level]] for level in range(old.shape[1])]
    return np.stack(columns, axis=1)
