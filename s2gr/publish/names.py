"""Readable names of codes and of the thoughts' clusters, made once when a model is published.

A code or cluster of a level is named by the words that set its items apart (``s2gr/sids/names.py``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from s2gr.sids.names import name_codes
from s2gr.sids.semantic_ids import IntArray
from s2gr.workspace import read_json, write_json


@dataclass(frozen=True)
class Names:
    """By level, then by code or cluster; empty where the items' texts have nothing in common."""

    codes: list[list[str]]
    clusters: list[list[str]]

    def write(self, path: Path) -> None:
        write_json(asdict(self), path)

    @staticmethod
    def read(path: Path) -> Names:
        return Names(**read_json(path))


def names_of(codes: IntArray, cluster: IntArray, clusters: int, texts: list[str]) -> Names:
    """Name everything.

    Args:
        codes: int64 ``[items, L]``.
        cluster: int64 ``[L, K]``, the cluster of each code.
        clusters: Kc.
        texts: of the items.
    """
    levels = range(codes.shape[1])
    of_codes = [name_codes(codes[:, level], cluster.shape[1], texts) for level in levels]
    of_clusters = [name_codes(np.take(cluster[level], codes[:, level]), clusters, texts) for level in levels]
    return Names(of_codes, of_clusters)
