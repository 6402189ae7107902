"""What a codebook can be trained on, or asked to encode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from s2gr.embeddings import Matrix, has_direction
from s2gr.errors import UserError


@dataclass(frozen=True)
class InputFacts:
    """What is peculiar about the embeddings, for the stage's report."""

    items: int
    distinct: int  # different rows: equal ones are told apart by the assignment alone
    zero: int  # rows of length 0: quantised like any other point


def check_finite(embeddings: Matrix, item_ids: Sequence[str], where: str) -> None:
    """Raises: UserError: if a value of ``[items, dim]`` is NaN or infinite, naming the first such item."""
    # A sum is finite only if its terms are, up to overflow, which then is looked at term by term.
    with np.errstate(invalid="ignore", over="ignore"):
        suspects = np.flatnonzero(~np.isfinite(embeddings.sum(1, dtype=np.float64)))
    bad = suspects[~np.isfinite(embeddings[suspects]).all(1)]
    if len(bad):
        column = int(np.flatnonzero(~np.isfinite(embeddings[bad[0]]))[0])
        raise UserError(
            f"{where}: expected finite numbers, found {embeddings[bad[0], column]} in row {bad[0] + 1} "
            f"(item {item_ids[bad[0]]!r}), dimension {column + 1}; {len(bad)} of {len(embeddings)} items are affected; "
            "correct these embeddings"
        )


def training_facts(embeddings: Matrix, item_ids: Sequence[str], where: str) -> InputFacts:
    """Look at the embeddings ``[items, dim]`` that a codebook is to be trained on.

    Raises: UserError: there are none, a value is not finite, or all rows are equal.
    """
    if not len(embeddings):
        raise UserError(f"{where} holds no items; run the stages before `codebook` on a log that is not empty")
    check_finite(embeddings, item_ids, where)
    # + 0.0 turns −0 into 0: equal numbers have equal bytes then.
    rows = np.ascontiguousarray(embeddings + np.float32(0)).view(np.dtype((np.void, embeddings[0].nbytes)))
    distinct = len(np.unique(rows))
    if distinct == 1:
        raise UserError(
            f"{where}: all {len(embeddings)} embeddings are equal; there is nothing to quantise. "
            "Look at the item texts, or at your own vectors (section `content`)"
        )
    return InputFacts(len(embeddings), distinct, int((~has_direction(embeddings)).sum()))
