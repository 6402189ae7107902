"""SASRec with cross-entropy over the whole catalogue, and its plain mixture with the walk: the bar to clear.

Kang & McAuley 2018 (arXiv 1808.09781) with the loss that makes it strong (Klenitskiy & Vasilev 2023, arXiv 2309.07602:
full softmax instead of one negative). torch's own transformer, our training loop, batches and protocol; walks and
mixture are chosen on validation (`tuned.py`).
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import tuned
from benchmarks.scorers import Scorer, rank_scorer
from benchmarks.tuned import rank_chosen, tuned_mixture, tuned_walks
from s2gr.cases import Cases, build_cases
from s2gr.evaluation.budget import flops_per_user
from s2gr.evaluation.tables import write_ranks
from s2gr.metrics import gains
from s2gr.params import Params
from s2gr.reasoner.batches import Batch, packed_batches
from s2gr.reasoner.fusion import REPEATS
from s2gr.runtime import start_fabric
from s2gr.sequences import Sequences, load_sequences
from s2gr.stopwatch import stopwatch
from s2gr.training import Plan, Row, fit, parameter_groups, warmup_cosine
from s2gr.walk import GRID, WalkCounts
from s2gr.workspace import Workspace, read_json, write_json

Scores = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

HISTORY, BATCH = 20, 512
# Users whose validation target decides.
VALIDATION = 4000


@dataclass(frozen=True)
class Settings:
    """Chosen on Beauty's validation targets."""

    dim: int = 128
    layers: int = 2
    heads: int = 2
    feed_forward: int = 512
    dropout: float = 0.4
    learning_rate: float = 2e-3
    epochs: int = 18
    patience: int = 4


class SASRec(nn.Module):
    """``forward(batch)`` returns the loss; :meth:`states` what scores items by dot product."""

    def __init__(self, items: int, settings: Settings) -> None:
        super().__init__()
        self.item = nn.Embedding(items, settings.dim)
        self.position = nn.Embedding(HISTORY, settings.dim)
        self.dropout = nn.Dropout(settings.dropout)
        layer = nn.TransformerEncoderLayer(
            settings.dim,
            settings.heads,
            settings.feed_forward,
            settings.dropout,
            "gelu",
            batch_first=True,
            norm_first=True,
        )
        norm = nn.LayerNorm(settings.dim)
        self.layers = nn.TransformerEncoder(layer, settings.layers, norm, enable_nested_tensor=False)
        for parameter in self.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02)

    def states(self, items: Tensor, position: Tensor) -> Tensor:
        """``[B, Q, D]`` at ``position`` ``[B, Q]`` of histories ``[B, T]``, −1 behind their end."""
        length = items.shape[1]
        # √D, as in the paper's code: without it the small embeddings hardly count beside what the layers add.
        embedded = self.item(items.clamp_min(0)) * self.item.embedding_dim**0.5
        hidden = self.dropout(embedded + self.position.weight[:length])
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=items.device)
        hidden = self.layers(hidden, mask=mask, is_causal=True)
        return hidden.gather(1, position.unsqueeze(2).expand(-1, -1, hidden.shape[2]))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        there = batch.targets >= 0
        states = self.states(batch.items, batch.position)[there]
        return {"loss": functional.cross_entropy(states @ self.item.weight.T, batch.targets[there])}

    @torch.no_grad()
    def scores(self, histories: Integers, lengths: Integers) -> Scores:
        """Softmax over the catalogue, float32 ``[batch, items]``."""
        items = torch.from_numpy(histories[:, : lengths.max()])
        states = self.states(items, torch.from_numpy(lengths - 1)[:, None])[:, 0]
        found: Scores = (states @ self.item.weight.T).float().softmax(-1).numpy()
        return found


def described(settings: Settings) -> dict[str, Any]:
    """All that was chosen or is tried, in the plain types of JSON."""
    grids = {"walks": [asdict(each) for each in GRID], "shares": list(tuned.MIX), "repeats": list(REPEATS)}
    return {**asdict(settings), "batch": BATCH, "history": HISTORY, **grids}


def run(params: Params, workspace: Workspace, settings: Settings | None = None) -> dict[str, Any]:
    """Train and rank the test split; ``reports/ranks.parquet`` and ``reports/sasrec.json``, the latter last.

    What an earlier run of the same made is taken as it is.

    Args:
        workspace: its events are there.
    """
    settings = settings or Settings()
    report = workspace.report("sasrec")
    digest = hashlib.sha256(f"{settings} {params.runtime.effective()}".encode())
    for path in (workspace.events, Path(__file__), Path(tuned.__file__)):
        digest.update(path.read_bytes())
    fingerprint = digest.hexdigest()
    if report.exists() and read_json(report)["fingerprint"] == fingerprint:
        known: dict[str, Any] = read_json(report)
        return known
    sequences = load_sequences(workspace.events, workspace.items)
    validation = build_cases(sequences, "validation", HISTORY).sample(VALIDATION, 0).by_length()
    with stopwatch() as watch:
        model, rows = train(params, sequences, validation, settings, workspace, fingerprint)
    cpu_seconds = watch.read().cpu_seconds
    walks = tuned_walks(WalkCounts.of(sequences), validation)
    mixture = tuned_mixture(model, walks, validation)
    test = build_cases(sequences, "test", HISTORY).by_length()
    chosen = {"walk_tuned": walks["directed"], "walk_undirected_tuned": walks["undirected"], "sasrec_walk": mixture}
    ranked = {"sasrec": rank_scorer(model, test, 10)}
    ranked |= {name: rank_chosen(choices, test, 10) for name, choices in chosen.items()}
    write_ranks(ranked, test, sequences.user_ids, workspace.ranks)
    told = {
        "settings": asdict(settings),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": len(rows),
        "validation": {"ndcg@10": max(row["ndcg@10"] for row in rows)},
        "cpu_seconds": round(cpu_seconds, 1),
        "mflops": round(flops_per_user(lambda batch: model.scores(batch.histories, batch.lengths), test) / 1e6, 3),
        "chosen": {name + suffix: choice.told for name, each in chosen.items() for suffix, choice in each.items()},
        "fingerprint": fingerprint,
    }
    write_json(told, report)
    shutil.rmtree(workspace.unfinished("sasrec"))
    return told


def train(
    params: Params, sequences: Sequences, validation: Cases, settings: Settings, workspace: Workspace, fingerprint: str
) -> tuple[SASRec, list[Row]]:
    """The best epoch by validation NDCG@10, and a row per epoch."""
    fabric = start_fabric(params.runtime)
    training, seed = sequences.training(), params.runtime.seed
    model = SASRec(sequences.n_items, settings)
    optimizer = torch.optim.AdamW(parameter_groups(model.named_parameters(), 0.0), lr=settings.learning_rate)
    plan = Plan(
        description="SASRec",
        epochs=settings.epochs,
        batches=lambda epoch: packed_batches(training, HISTORY, BATCH, seed * 1_000_003 + epoch),
        validate=lambda: {"ndcg@10": ndcg(model, validation)},
        criterion="ndcg@10",
        patience=settings.patience,
        gradient_clip=5.0,
        schedule=warmup_cosine(0.05),
    )
    rows = fit(fabric, model, optimizer, plan, workspace.unfinished("sasrec") / "checkpoint.safetensors", fingerprint)
    return model, rows


def ndcg(scorer: Scorer, cases: Cases) -> float:
    """Mean NDCG@10 over the whole catalogue."""
    return float(gains(rank_scorer(scorer, cases, 10).ranks[""], 10).mean())
