"""Codebook and aligned embeddings → one unique semantic ID per item, and the report of their quality."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from s2gr.codebook.loading import load_codebook
from s2gr.console import log
from s2gr.embeddings import read_embeddings
from s2gr.errors import UserError
from s2gr.files import write_csv
from s2gr.params import Params
from s2gr.runtime import prepare_torch
from s2gr.sids.assignment import Assignment, assign
from s2gr.sids.churn import compare
from s2gr.sids.codes import write_codes
from s2gr.sids.quality import collision_share, quality, unique_rate
from s2gr.sids.semantic_ids import IntArray, SemanticIds, read_codes, sid_table
from s2gr.stage import Metrics
from s2gr.workspace import Workspace, read_table, write_table

# Cohesion is measured on the most frequent pairs, at most so many.
_TOP_PAIRS = 10_000


def run(params: Params, inputs: Workspace, outputs: Workspace) -> Metrics:
    """Write ``sids.parquet``, ``reports/code_usage.csv``, ``reports/codes.csv`` and the quality figures."""
    previous = _read_previous(params.sids.previous, inputs)
    item_ids, matrix = read_embeddings(inputs.aligned)
    items = read_table(inputs.items, ["item_id", "title", "text"])
    if items["item_id"].to_pylist() != item_ids:
        raise UserError(f"{inputs.aligned} and {inputs.items} hold different items; run the stage `content` again")
    prepare_torch(params.runtime)
    model = load_codebook(inputs.codebook)
    latent = model.encode(matrix)
    nearest = model.nearest(latent, params.sids.balanced)
    vectors = model.vectors.numpy()
    assignment = assign(latent.numpy(), nearest.numpy(), vectors)
    codes, size = assignment.codes, vectors.shape[1]
    write_table(sid_table(item_ids, codes), outputs.sids)
    _write_usage(codes, size, outputs.plot("code_usage"))
    texts = (items["title"].to_pylist(), items["text"].to_pylist())
    write_codes(outputs.plot("codes"), codes[:, 0], latent.numpy(), vectors[0], *texts)

    metrics: dict[str, Any] = {
        "items": len(item_ids),
        "unique": {"before": unique_rate(nearest.numpy(), size), "after": unique_rate(codes, size)},
        "collisions": _collisions(nearest.numpy(), assignment, size),
        "reconstruction_error": {
            "nearest": model.reconstruction_error(matrix, nearest),
            "assigned": model.reconstruction_error(matrix, torch.from_numpy(codes)),
        },
        **quality(codes, size, _top_pairs(inputs, item_ids)),
    }
    if previous is not None:
        try:
            found = compare(previous, SemanticIds(item_ids, codes), params.runtime.seed)
        except UserError as error:
            # A retraining with other levels, say: the semantic IDs are none the worse for it.
            log.warning("sids.previous: %s; reports/sids.json has no churn", error)
        else:
            metrics["churn"] = {"previous": str(params.sids.previous), **found.as_dict()}
    return _rounded(metrics)


def _collisions(nearest: IntArray, assignment: Assignment, size: int) -> dict[str, Any]:
    before, largest = collision_share(nearest, size)
    costs = asdict(assignment)
    del costs["codes"]
    return {
        "before": before,
        "largest_bucket": largest,
        "after": collision_share(assignment.codes, size)[0],
        **costs,
        "extra_relative": assignment.extra_relative,
    }


def _read_previous(path: Path | None, inputs: Workspace) -> SemanticIds | None:
    if path is None:
        return None
    if path.resolve() == inputs.sids.resolve():
        raise UserError(f"sids.previous: {path} is what this stage writes; copy it elsewhere before, and name the copy")
    if not path.exists():
        raise UserError(f"sids.previous: {path.absolute()} does not exist; give an earlier sids.parquet, or null")
    return read_codes(path)


def _top_pairs(inputs: Workspace, item_ids: list[str]) -> IntArray:
    """Rows of the most frequent co-occurring pairs: int64 ``[pairs, 2]``."""
    table = read_table(inputs.cooccurrence, ["item_a", "item_b", "count"])
    order = pc.sort_indices(table, [("count", "descending"), ("item_a", "ascending"), ("item_b", "ascending")])
    top = table.take(order[:_TOP_PAIRS])
    ids = pa.array(item_ids, pa.string())
    rows = [pc.index_in(pc.cast(top[side], pa.string()), value_set=ids).to_numpy() for side in ("item_a", "item_b")]
    return np.stack(rows, axis=1).astype(np.int64)


def _write_usage(codes: IntArray, size: int, path: Path) -> None:
    rows = [
        (level + 1, code, count)
        for level in range(codes.shape[1])
        for code, count in enumerate(np.bincount(codes[:, level], minlength=size).tolist())
    ]
    write_csv(path, ("level", "code", "items"), rows)


def _rounded(value: dict[str, Any]) -> dict[str, Any]:
    """With floats to six places."""
    rounded: dict[str, Any] = {}
    for key, entry in value.items():
        if isinstance(entry, dict):
            rounded[key] = _rounded(entry)
        else:
            rounded[key] = round(entry, 6) if isinstance(entry, float) else entry
    return rounded
