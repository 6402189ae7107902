"""Readable names of codes and of the thoughts' clusters, made once when a model is published.

A code means something only after the codes before it, so a prefix of codes is named, by the words that set its items
apart (``s2gr/sids/names.py``) and are not in the names of shorter prefixes. So is a cluster of the codes that may come
after a prefix. Of the last level nothing is named: what is left there are a few items, which have titles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from s2gr.sids.semantic_ids import IntArray
from s2gr.workspace import read_json, write_json

# Terms of a name, and how many are looked at, as those of shorter prefixes drop out.
_TERMS, _LOOKED_AT = 3, 9


@dataclass(frozen=True)
class Names:
    """By prefix, such as ``7-199``: of the prefix itself, and of the clusters of codes after it, by their numbers."""

    codes: dict[str, str]
    clusters: dict[str, dict[str, str]]

    def code(self, prefix: Sequence[int]) -> str:
        """Of the last code of ``prefix``; empty if it has none."""
        return self.codes.get(_key(prefix), "")

    def cluster(self, prefix: Sequence[int], cluster: int) -> str:
        """Of ``cluster`` among the codes after ``prefix``; empty if it has none."""
        return self.clusters.get(_key(prefix), {}).get(str(cluster), "")

    def write(self, path: Path) -> None:
        write_json(asdict(self), path)

    @staticmethod
    def read(path: Path) -> Names:
        return Names(**read_json(path))


def names_of(codes: IntArray, cluster: IntArray, texts: list[str]) -> Names:
    """Name all prefixes but whole semantic IDs, and the clusters that lead to them.

    Args:
        codes: int64 ``[items, L]``.
        cluster: int64 ``[L, K]``, the cluster of each code.
        texts: of the items.
    """
    found = Names({}, {})
    for level in range(codes.shape[1] - 1):
        before = codes[:, :level]
        for prefix, name in _named(codes[:, : level + 1], texts, found):
            found.codes[_key(prefix)] = name
        for prefix, name in _named(np.column_stack([before, cluster[level][codes[:, level]]]), texts, found):
            found.clusters.setdefault(_key(prefix[:-1]), {})[str(prefix[-1])] = name
    return found


def _named(groups: IntArray, texts: list[str], shorter: Names) -> list[tuple[list[int], str]]:
    """The different rows of ``groups`` ``[items, n]`` and their names."""
    # Imported here: it takes scikit-learn with it, a second that reading names has not.
    from s2gr.sids.names import name_codes

    rows, group = np.unique(groups, axis=0, return_inverse=True)
    names = name_codes(group.ravel().astype(np.int64), len(rows), texts, _LOOKED_AT)
    told = []
    for row, name in zip(rows.tolist(), names, strict=True):
        known = {term for end in range(1, len(row)) for term in shorter.code(row[:end]).split(", ")}
        terms = [term for term in name.split(", ") if term not in known]
        told.append((row, ", ".join(terms[:_TERMS])))
    return [(row, name) for row, name in told if name]


def _key(prefix: Sequence[int]) -> str:
    return "-".join(map(str, prefix))
