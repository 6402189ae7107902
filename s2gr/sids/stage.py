"""Codebook and aligned embeddings → one unique semantic ID per item, and the report of their quality."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from s2gr.codebook.rqvae import CHUNK, RQVAE, codebook_input
from s2gr.embeddings import read_embeddings
from s2gr.params import Params
from s2gr.runtime import prepare_torch
from s2gr.sids.assignment import assign
from s2gr.sids.quality import cohesion, collision_share, level_quality, prefix_entropy
from s2gr.stage import Metrics
from s2gr.workspace import Workspace, read_table, write_table

# Cohesion is measured on the most frequent pairs, at most so many.
_TOP_PAIRS = 10_000


def run(params: Params, inputs: Workspace, outputs: Workspace) -> Metrics:
    """Write ``sids.parquet``, ``reports/code_usage.csv`` and the quality figures."""
    item_ids, matrix = read_embeddings(inputs.aligned)
    prepare_torch(params.runtime)
    model = RQVAE.load(inputs.codebook)
    embeddings = codebook_input(matrix)
    latent = model.encode(embeddings)
    with torch.no_grad():
        balanced = params.sids.balanced
        nearest = torch.cat([model.quantizer(chunk, balanced).codes for chunk in latent.split(CHUNK)]).numpy()
        vectors = model.quantizer.vectors.numpy()
    size = vectors.shape[1]
    assignment = assign(latent.numpy(), nearest, vectors)
    codes = assignment.codes
    columns = {f"code_{level + 1}": pa.array(codes[:, level], pa.int32()) for level in range(codes.shape[1])}
    write_table(pa.table({"item_id": pa.array(item_ids, pa.string()), **columns}), outputs.sids)
    _write_usage(codes, size, outputs.plot("code_usage"))

    before, largest = collision_share(nearest, size)
    pairs = _top_pairs(inputs, item_ids)
    entropy = prefix_entropy(codes, size)
    metrics: dict[str, object] = {
        "items": len(item_ids),
        "collisions": {
            "before": before,
            "largest_bucket": largest,
            "after": collision_share(codes, size)[0],
            "moved": assignment.moved,
            "rerouted": assignment.rerouted,
            "extra_distance": assignment.extra_distance,
        },
        "reconstruction_error": {
            "nearest": model.reconstruction_error(embeddings, torch.from_numpy(nearest)),
            "assigned": model.reconstruction_error(embeddings, torch.from_numpy(codes)),
        },
    }
    for level in range(codes.shape[1]):
        quality = asdict(level_quality(codes[:, level], size))
        metrics[f"level_{level + 1}"] = {**quality, "prefix_entropy": entropy[level]}
    for levels in range(1, codes.shape[1]):
        together, chance = cohesion(codes, size, pairs, levels)
        metrics[f"cohesion_{levels}"] = {"cooccurring": together, "random": chance}
    return _rounded(metrics)


def _top_pairs(inputs: Workspace, item_ids: list[str]) -> npt.NDArray[np.int64]:
    """Rows of the most frequent co-occurring pairs: int64 ``[pairs, 2]``."""
    table = read_table(inputs.cooccurrence, ["item_a", "item_b", "count"])
    order = pc.sort_indices(table, [("count", "descending"), ("item_a", "ascending"), ("item_b", "ascending")])
    top = table.take(order[:_TOP_PAIRS])
    ids = pa.array(item_ids, pa.string())
    rows = [pc.index_in(pc.cast(top[side], pa.string()), value_set=ids).to_numpy() for side in ("item_a", "item_b")]
    return np.stack(rows, axis=1).astype(np.int64)


def _write_usage(codes: npt.NDArray[np.int64], size: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["level", "code", "items"])
        for level in range(codes.shape[1]):
            counts = np.bincount(codes[:, level], minlength=size)
            writer.writerows((level + 1, code, count) for code, count in enumerate(counts.tolist()))


def _rounded(value: object) -> dict[str, object]:
    def walk(entry: object) -> object:
        if isinstance(entry, dict):
            return {key: walk(inner) for key, inner in entry.items()}
        return round(entry, 6) if isinstance(entry, float) else entry

    result = walk(value)
    assert isinstance(result, dict)
    return result
