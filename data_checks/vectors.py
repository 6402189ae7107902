"""What is held about an artefact of item embeddings. It is read piece by piece: a million vectors need not fit into
memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_checks.inputs import Facts, column_types
from data_checks.suite import Rule, between, none_of, type_rules
from s2gr.embeddings import embedding_matrix
from s2gr.workspace import read_table

_TYPES = {"item_id": "string", "embedding": "list of float"}
_ROWS = 50_000
# Of a unit vector's length, in float32.
_TOLERANCE = 1e-3

# Items that share one vector, as a share of all; and the mean cosine of two items.
_MAX_SAME = 0.2
_MAX_COSINE = 0.9


def vector_rules(name: str, what: str) -> tuple[Rule, ...]:
    """What is held about the vectors of every item; ``name`` begins the checks' names, ``what`` is what they hold."""
    return (
        *type_rules(name, f"Later stages read `{{column}}` of the {what} as {{kind}}.", _TYPES),
        none_of(
            f"{name}_in_catalogue_order",
            "critical",
            f"Later stages take row i of the {what} for item i of the catalogue.",
            "misplaced_vectors",
        ),
        none_of(
            f"{name}_finite",
            "critical",
            "A vector that is not finite makes every distance to it NaN, and every mean with it.",
            "not_finite",
        ),
        none_of(
            f"{name}_unit_length",
            "critical",
            "The codebook compares directions; a vector of another length counts for more or for less than its item.",
            "not_unit",
        ),
        between(
            f"{name}_told_apart",
            "warning",
            "Items with one vector between them get neighbouring semantic IDs by chance alone.",
            "same_vector",
            high=_MAX_SAME,
        ),
        between(
            f"{name}_spread",
            "warning",
            "Where all vectors point the same way, codes are made of what is left: rounding and noise.",
            "mean_cosine",
            high=_MAX_COSINE,
        ),
    )


def vector_types(path: Path) -> Facts:
    """Facts of the schema.

    Raises: UserError: if the file is missing or damaged.
    """
    types = column_types(path)
    if types.get("embedding", "").startswith("fixed_size_list<") and "float" in types["embedding"]:
        types["embedding"] = _TYPES["embedding"]
    return {f"{column}_type": types.get(column, "missing") for column in _TYPES}


def vector_facts(path: Path, items: Path) -> Facts:
    """Facts of the rows, whose schema holds.

    Raises: UserError: if a file is missing or damaged.
    """
    expected = read_table(items, ["item_id"])["item_id"]
    generator = np.random.default_rng(0)
    seen, not_finite, not_unit, misplaced = 0, 0, 0, 0
    total: np.ndarray | None = None
    shadows: list[np.ndarray] = []
    for batch in pq.ParquetFile(path).iter_batches(_ROWS, columns=["item_id", "embedding"]):
        table = pa.Table.from_batches([batch])
        present = table.filter(pc.is_valid(table["embedding"]))
        not_finite += len(table) - len(present)
        rows = embedding_matrix(present).astype(np.float64)
        ids = expected.slice(seen, len(table)).to_pylist()
        misplaced += sum(mine != theirs for mine, theirs in zip(table["item_id"].to_pylist(), ids, strict=False))
        misplaced += len(table) - len(ids)
        finite = np.isfinite(rows).all(axis=1)
        not_finite += int((~finite).sum())
        not_unit += int((abs(np.linalg.norm(rows[finite], axis=1) - 1) > _TOLERANCE).sum())
        if total is None:
            total = np.zeros(rows.shape[1])
            directions = generator.standard_normal((rows.shape[1], 2))
        total += rows[finite].sum(axis=0)
        # Equal vectors have equal shadows, and others hardly ever: counted in two numbers a row.
        shadows.append(rows[finite] @ directions)
        seen += len(table)
    misplaced += len(expected) - min(seen, len(expected))
    _, counts = np.unique(np.concatenate(shadows), axis=0, return_counts=True) if seen else (None, np.array([0]))
    largest = int(counts.max())
    return {
        "misplaced_vectors": misplaced,
        "not_finite": not_finite,
        "not_unit": not_unit,
        "same_vector": (largest if largest > 1 else 0) / max(seen, 1),
        # Of all pairs, an item with itself included: ‖mean vector‖².
        "mean_cosine": 0.0 if total is None else float(np.square(total / max(seen, 1)).sum()),
    }
