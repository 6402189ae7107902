"""Aligned embeddings → a trained codebook of the kind that is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import overload

import torch
from torch import Tensor

from s2gr.codebook.inputs import training_facts
from s2gr.codebook.loading import build_codebook
from s2gr.codebook.rqkmeans import RQKMeans
from s2gr.codebook.rqvae import RQVAE
from s2gr.codebook.warm_start import start_from
from s2gr.console import log
from s2gr.embeddings import Matrix, read_embeddings
from s2gr.params import Params
from s2gr.runtime import start_fabric
from s2gr.stage import Metrics
from s2gr.training import Plan, Row, fit, write_curve
from s2gr.workspace import Workspace


def run(params: Params, inputs: Workspace, outputs: Workspace) -> Metrics:
    """Train the codebook; ``reports/codebook_curve.csv`` holds a line per epoch (of k-means: per level)."""
    section, seed = params.codebook, params.runtime.seed
    item_ids, matrix = read_embeddings(inputs.aligned)
    facts = training_facts(matrix, item_ids, str(inputs.aligned))
    if facts.distinct <= section.codes:
        log.warning(
            "%d different embeddings for %d codes a level: each gets a code of its own on level 1, the rest is noise",
            facts.distinct,
            section.codes,
        )
    fabric = start_fabric(params.runtime)
    model = build_codebook(matrix.shape[1], section)
    origin = start_from(section.warm_start, model) if section.warm_start else None
    if isinstance(model, RQVAE):
        told = f"{section.model_dump_json()}{params.runtime.effective()}{origin}".encode()
        fingerprint = hashlib.sha256(told + matrix.tobytes()).hexdigest()
        if origin is None:
            model.measure(matrix)
        plan = Plan(
            description="codebook",
            epochs=section.epochs,
            batches=lambda epoch: epoch_batches(matrix, section.batch_size, seed + epoch),
            before_epoch=lambda epoch: model.begin_epoch(epoch, matrix, seed, warm=origin is not None),
        )
        optimizer = torch.optim.AdamW(model.parameters(), lr=section.learning_rate, weight_decay=0.0, fused=True)
        rows = fit(
            fabric, model, optimizer, plan, inputs.unfinished("codebook") / "checkpoint.safetensors", fingerprint
        )
        model.cpu()
    else:
        assert isinstance(model, RQKMeans)
        rows = model.fit(matrix, seed, warm=origin is not None)
    model.save(outputs.codebook)
    write_curve(rows, outputs.plot("codebook_curve"))
    return {
        "kind": section.kind,
        **asdict(facts),
        "input_dim": matrix.shape[1],
        "warm_start": {"folder": str(section.warm_start), "sha256": origin} if origin else None,
        **_summary(rows),
    }


def _summary(rows: list[Row]) -> Metrics:
    """The last row of the curve, and the sums over all rows of what is counted."""
    summary: dict[str, float] = {"epochs": len(rows)}
    for name in rows[-1]:
        if name in ("revived", "iterations"):
            summary[name] = round(sum(row[name] for row in rows))
        elif name != "epoch":
            summary[name] = round(rows[-1][name], 6)
    return summary


def epoch_batches(matrix: Matrix, size: int, seed: int) -> Sequence[Tensor]:
    """The batches of one epoch: the rows of ``matrix`` in an order drawn from ``seed``."""
    return _Batches(matrix, size, seed)


class _Batches(Sequence[Tensor]):
    """The items in the order of one epoch; a batch is gathered when it is asked for."""

    def __init__(self, matrix: Matrix, size: int, seed: int) -> None:
        self._rows = torch.randperm(len(matrix), generator=torch.Generator().manual_seed(seed)).split(size)
        self._matrix = matrix

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(index, slice):
            return [self._gather(rows) for rows in self._rows[index]]
        return self._gather(self._rows[index])

    def _gather(self, rows: Tensor) -> Tensor:
        return torch.from_numpy(self._matrix[rows.numpy()])
