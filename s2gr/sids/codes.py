"""The level-1 codes for a person to look at and judge: how many items each has, its name, and typical titles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from s2gr.embeddings import Matrix
from s2gr.files import write_csv
from s2gr.sids.assignment import CHUNK
from s2gr.sids.names import name_codes
from s2gr.sids.prefixes import IntArray

_EXAMPLES = 3
_COLUMNS = ("code", "items", "name", *(f"example_{place + 1}" for place in range(_EXAMPLES)))


def write_codes(
    path: Path, codes: IntArray, latent: Matrix, vectors: Matrix, titles: Sequence[str], texts: Sequence[str]
) -> None:
    """Write a row per code of level 1: ``code, items, name, example_1, …``.

    Args:
        codes: int64 ``[items]``.
        latent: float32 ``[items, D]``; ``vectors``: float32 ``[K, D]``, the code vectors of level 1.
    """
    size = len(vectors)
    names = name_codes(codes, size, texts)
    items = np.bincount(codes, minlength=size)
    examples = _typical(codes, latent, vectors, titles)
    shown = (each + [""] * (_EXAMPLES - len(each)) for each in examples)
    rows = ([code, items[code], names[code], *each] for code, each in enumerate(shown))
    write_csv(path, _COLUMNS, rows)


def _typical(codes: IntArray, latent: Matrix, vectors: Matrix, titles: Sequence[str]) -> list[list[str]]:
    """For each code distinct titles of the items nearest to its vector."""
    distance = np.empty(len(codes))
    for start in range(0, len(codes), CHUNK):
        part = slice(start, start + CHUNK)
        distance[part] = np.square(latent[part] - vectors[codes[part]], dtype=np.float64).sum(1)
    examples: list[dict[str, None]] = [{} for _ in vectors]
    for row in np.lexsort((np.arange(len(codes)), distance)):
        shown = examples[codes[row]]
        if len(shown) < _EXAMPLES:
            shown[" ".join(titles[row].split())] = None
    return [list(shown) for shown in examples]
