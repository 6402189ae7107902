"""Our RQ-VAE beside other people's: the same widths, batches and items, each trained as its own project trains it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from s2gr.codebook.rqvae import RQVAE
from s2gr.codebook.stage import epoch_batches
from s2gr.embeddings import Matrix
from s2gr.params import Codebook, Runtime
from s2gr.runtime import start_fabric
from s2gr.training import Plan, fit

LEVELS, CODES, LATENT, BATCH = 3, 256, 32, 1024

# A function that trains for so many epochs.
Training = Callable[[int], None]


def ours(items: Matrix, hidden: Sequence[int], precision: str, threads: int) -> Training:
    """CoBa as the stage trains it: uniformity, balance, revival, NaN guard and a checkpoint each epoch."""
    section = Codebook(
        kind="coba", levels=LEVELS, codes=CODES, latent_dim=LATENT, hidden=list(hidden), batch_size=BATCH, warmup=0.0
    )
    runtime = Runtime.model_validate({"threads": threads, "precision": precision, "device": "cpu"})
    fabric = start_fabric(runtime)
    model = RQVAE(items.shape[1], section)
    model.measure(items)
    model.begin_epoch(0, items, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=section.learning_rate, weight_decay=0.0, fused=True)

    def train(epochs: int) -> None:
        plan = Plan(
            description="ours",
            epochs=epochs,
            batches=lambda epoch: epoch_batches(items, BATCH, epoch),
            before_epoch=lambda epoch: model.begin_epoch(epoch, items, seed=0, warm=True),
        )
        with tempfile.TemporaryDirectory() as folder:
            fit(fabric, model, optimizer, plan, Path(folder) / "checkpoint.safetensors", "benchmark")

    return train


def cornac(items: Matrix, hidden: Sequence[int]) -> Training:
    """cornac's RQVAE in the loop of its ``TIGER._fit_rqvae`` (cornac 3.0.1), dead codes restarted each epoch."""
    rows = torch.from_numpy(items * np.float32(items.shape[1] ** 0.5))
    model: Any = import_module("cornac.models.tiger.tiger").RQVAE(items.shape[1], tuple(hidden), LATENT, LEVELS, CODES)
    model.kmeans_init_codebooks(rows[: 16 * CODES])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def train(epochs: int) -> None:
        for _ in range(epochs):
            used = torch.zeros(LEVELS, CODES, dtype=torch.bool)
            order = torch.randperm(len(rows))
            total = 0.0
            for start in range(0, len(rows), BATCH):
                batch = rows[order[start : start + BATCH]]
                ids, _, reconstruction, quantisation = model(batch)
                loss = reconstruction + quantisation
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                for level in range(LEVELS):
                    used[level, ids[:, level]] = True
                total += loss.item() * len(batch)
            model.restart_dead_codes(rows[order[:8192]], used)

    return train


def residual_vq(items: Matrix, hidden: Sequence[int]) -> Training:
    """vector-quantize-pytorch's ResidualVQ, as it comes (EMA, rotation trick), inside our MLP autoencoder."""
    rows = torch.from_numpy(items * np.float32(items.shape[1] ** 0.5))
    section = Codebook(kind="coba", latent_dim=LATENT, hidden=list(hidden))
    network = RQVAE(items.shape[1], section)
    quantizer: Any = import_module("vector_quantize_pytorch").ResidualVQ(
        dim=LATENT, num_quantizers=LEVELS, codebook_size=CODES
    )
    parts = nn.ModuleList([network.encoder, network.decoder, quantizer])
    optimizer = torch.optim.AdamW(parts.parameters(), lr=1e-3)

    def train(epochs: int) -> None:
        for _ in range(epochs):
            total = 0.0
            order = torch.randperm(len(rows))
            for start in range(0, len(rows), BATCH):
                batch = rows[order[start : start + BATCH]]
                quantized, _, commitment = quantizer(network.encoder(batch))
                loss: Tensor = functional.mse_loss(network.decoder(quantized), batch) + commitment.sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(batch)

    return train


# Name → how it is built, and the package that it needs.
PEERS: dict[str, tuple[Callable[[Matrix, Sequence[int]], Training], str]] = {
    "cornac RQVAE": (cornac, "cornac"),
    "vector-quantize-pytorch ResidualVQ": (residual_vq, "vector_quantize_pytorch"),
}
