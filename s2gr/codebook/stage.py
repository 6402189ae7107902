"""Aligned embeddings → a trained CoBa RQ-VAE."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from s2gr.codebook.rqvae import RQVAE, codebook_input
from s2gr.embeddings import read_embeddings
from s2gr.errors import UserError
from s2gr.params import Codebook, Params
from s2gr.runtime import start_fabric
from s2gr.stage import Metrics
from s2gr.training import Plan, fit, write_curve
from s2gr.workspace import Workspace


def run(params: Params, inputs: Workspace, outputs: Workspace) -> Metrics:
    """Train the codebook; ``reports/codebook_curve.csv`` holds a line per epoch."""
    _, matrix = read_embeddings(inputs.aligned)
    embeddings = codebook_input(matrix)
    if not bool((embeddings != embeddings[0]).any()):
        raise UserError(f"{inputs.aligned}: all {len(matrix)} embeddings are equal; there is nothing to quantise")
    section = params.codebook
    fabric = start_fabric(params.runtime)
    model = RQVAE(embeddings.shape[1], section)
    model.initialise(embeddings, params.runtime.seed)
    reviver = torch.Generator().manual_seed(params.runtime.seed)

    def revive(epoch: int) -> None:
        if epoch == 0:
            return
        with torch.no_grad():
            sample = embeddings[:: max(1, len(embeddings) // 65_536)].to(fabric.device)
            quantized = model.quantizer(model.encode(sample), balanced=False)
        reviver.manual_seed(params.runtime.seed + epoch)
        model.quantizer.revive(quantized.residuals, quantized.codes, reviver)

    plan = Plan(
        description="codebook",
        epochs=section.epochs,
        batches=lambda epoch: _batches(embeddings, section, params.runtime.seed + epoch),
        before_epoch=revive,
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=section.learning_rate, weight_decay=0.0)
    told = f"{section.model_dump_json()}{params.runtime.effective()}".encode()
    fingerprint = hashlib.sha256(told + matrix.tobytes()).hexdigest()
    rows = fit(fabric, model, optimizer, plan, inputs.state / "checkpoints/codebook.safetensors", fingerprint)
    model = model.cpu()
    model.save(outputs.codebook)
    write_curve(rows, outputs.plot("codebook_curve"))
    last = {name: round(value, 6) for name, value in rows[-1].items() if name != "epoch"}
    return {
        "items": len(matrix),
        "input_dim": matrix.shape[1],
        "epochs": len(rows),
        **last,
    }


def _batches(embeddings: Tensor, section: Codebook, seed: int) -> list[Tensor]:
    order = torch.randperm(len(embeddings), generator=torch.Generator().manual_seed(seed))
    return [embeddings[rows] for rows in order.split(section.batch_size)]
