"""SASRec with cross-entropy over the whole catalogue, and its plain mixture with the walk: the bar to clear.

Kang & McAuley 2018 (arXiv 1808.09781) with the loss that makes it strong (Klenitskiy & Vasilev 2023, arXiv 2309.07602:
full softmax instead of one negative). torch's own transformer, our training loop, batches and protocol; the walk's
weights are chosen on validation, too, so that no baseline is left at somebody's defaults.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from s2gr.cases import Cases, build_cases
from s2gr.evaluation.metrics import gains, ranks_in_list
from s2gr.evaluation.ranking import FILTERS, Ranked, Scorer, rank_scorer, seen_mask, top_lists
from s2gr.evaluation.tables import write_ranks
from s2gr.params import Params
from s2gr.reasoner.batches import Batch, packed_batches
from s2gr.runtime import start_fabric
from s2gr.sequences import Sequences, load_sequences
from s2gr.stopwatch import stopwatch
from s2gr.training import Plan, Row, fit, parameter_groups, warmup_cosine
from s2gr.walk import GraphWalk, WalkCounts, WalkWeights
from s2gr.workspace import Workspace, read_json, write_json

Scores = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

HISTORY, BATCH = 20, 512
# Users whose validation target decides.
VALIDATION = 4000
# Weights of SASRec's softmax in the mixture, the rest is the walk's.
MIX = tuple(step / 10 for step in range(1, 10))
WALKS = [
    WalkWeights(decay, items, second)
    for decay, items, second in product((0.4, 0.6, 0.8), (1, 3, 5), (0.0, 0.15, 0.3, 0.5))
]


@dataclass(frozen=True)
class Settings:
    """Chosen on Beauty's validation targets."""

    dim: int = 128
    layers: int = 2
    heads: int = 2
    feed_forward: int = 512
    dropout: float = 0.4
    learning_rate: float = 1e-3
    epochs: int = 24
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
        hidden = self.dropout(self.item(items.clamp_min(0)) + self.position.weight[:length])
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


@dataclass(frozen=True)
class Mixture:
    """``weight · softmax of SASRec + (1 − weight) · the walk's distribution``."""

    model: SASRec
    walk: GraphWalk
    weight: float

    def scores(self, histories: Integers, lengths: Integers) -> Scores:
        return mixed(self.model.scores(histories, lengths), self.walk.scores(histories, lengths), self.weight)


def mixed(softmax: Scores, walked: Scores, weight: float) -> Scores:
    return weight * softmax + (1 - weight) / walked.sum(1, keepdims=True) * walked


def choose_mixture(model: SASRec, walks: Mapping[str, GraphWalk], cases: Cases) -> dict[str, tuple[str, float]]:
    """For each filter, the walk and the weight that rank ``cases`` best."""
    found: dict[tuple[str, str, float], float] = defaultdict(float)
    for batch in cases.batches(256):
        softmax, seen = model.scores(batch.histories, batch.lengths), seen_mask(batch, model.item.num_embeddings)
        for kind, walk in walks.items():
            walked = walk.scores(batch.histories, batch.lengths)
            for weight in MIX:
                for suffix, lists in top_lists(mixed(softmax, walked, weight), seen, 10).items():
                    found[suffix, kind, weight] += gains(ranks_in_list(lists, batch.targets), 10).sum()
    best = {suffix: max((key for key in found if key[0] == suffix), key=found.__getitem__) for suffix in FILTERS}
    return {suffix: (kind, weight) for suffix, (_, kind, weight) in best.items()}


def run(params: Params, workspace: Workspace, settings: Settings | None = None) -> dict[str, Any]:
    """Train and rank the test split; ``reports/ranks.parquet`` and ``reports/sasrec.json``, the latter last.

    What an earlier run of the same made is taken as it is.

    Args:
        workspace: its events are there.
    """
    settings = settings or Settings()
    report = workspace.report("sasrec")
    digest = hashlib.sha256(f"{settings} {params.runtime.effective()}".encode())
    for path in (workspace.events, Path(__file__)):
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
    counts = WalkCounts.of(sequences)
    walks = {
        name: tuned_walk(matrix, counts.popularity, validation)
        for name, matrix in (("directed", counts.directed), ("undirected", counts.undirected))
    }
    systems: dict[str, Scorer] = {"sasrec": model}
    systems |= {"walk_tuned": walks["directed"], "walk_undirected_tuned": walks["undirected"]}
    test = build_cases(sequences, "test", HISTORY).by_length()
    chosen: dict[str, Any] = {kind: asdict(walk.weights) for kind, walk in walks.items()}
    ranked = {name: rank_scorer(scorer, test, 10) for name, scorer in systems.items()}
    lists, ranks = {}, {}
    for suffix, (kind, weight) in choose_mixture(model, walks, validation).items():
        chosen[f"mixture{suffix}"] = {"sasrec": weight, "walk": kind}
        found = rank_scorer(Mixture(model, walks[kind], weight), test, 10)
        lists[suffix], ranks[suffix] = found.lists[suffix], found.ranks[suffix]
    ranked["sasrec_walk"] = Ranked(lists, ranks)
    write_ranks(ranked, test, sequences.user_ids, workspace.ranks)
    told = {
        "settings": asdict(settings),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": len(rows),
        "validation": {"ndcg@10": max(row["ndcg@10"] for row in rows)},
        "cpu_seconds": round(cpu_seconds, 1),
        "chosen": chosen,
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


def tuned_walk(matrix: sparse.csr_array, popularity: npt.NDArray[np.float32], validation: Cases) -> GraphWalk:
    """The walk over counts ``[items, items]`` whose weights rank validation best."""
    walks = (GraphWalk(matrix, popularity, weights) for weights in WALKS)
    return max(walks, key=lambda walk: ndcg(walk, validation))


def ndcg(scorer: Scorer, cases: Cases) -> float:
    """Mean NDCG@10 over the whole catalogue."""
    return float(gains(rank_scorer(scorer, cases, 10).ranks[""], 10).mean())
