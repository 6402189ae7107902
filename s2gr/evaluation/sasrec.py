"""SASRec with cross-entropy over the whole catalogue: the discriminative baseline, on the reasoner's own encoder.

Kang & McAuley (2018) as later work trains it: a causal transformer over item embeddings, the same embeddings as output
weights, and a softmax over every item in place of one sampled negative. The layers are those of the reasoner's encoder,
so positions enter as T5's relative biases. Two things differ from that encoder, both because inputs and outputs are the
same embeddings, so that what the residual stream carries through ranks the last items themselves: inputs are not scaled
by √D, and nothing is dropped behind the last norm. No semantic IDs, no content, no decoder.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from s2gr.cases import Cases, build_cases
from s2gr.evaluation.metrics import gains, ranks_by_score
from s2gr.params import Runtime
from s2gr.reasoner.backbone import Dropout, EncoderLayer, RelativeBias, RMSNorm
from s2gr.reasoner.batches import Batch, packed_batches
from s2gr.runtime import start_fabric
from s2gr.sequences import Sequences
from s2gr.training import Plan, Row, fit, parameter_groups, warmup_cosine

# Users scored at a time.
_USERS = 512
# Of the initial item embeddings, as in the original code.
_INIT = 0.02

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Settings:
    """Shape and training; the defaults are what was chosen on the validation split of Beauty."""

    dim: int = 128
    heads: int = 2
    layers: int = 2
    feed_forward: int = 128
    dropout: float = 0.4
    history: int = 20
    epochs: int = 18
    # Targets in one training batch.
    batch_size: int = 1024
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    warmup: float = 0.05
    gradient_clip: float = 5.0
    patience: int = 3
    validation_users: int = 2000


class SASRec(nn.Module):
    """``forward(batch)`` returns the loss; :meth:`scores` ranks."""

    def __init__(self, items: int, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self.item_table = nn.Parameter(torch.randn(items, settings.dim) * _INIT)
        shape = (settings.dim, settings.heads, settings.feed_forward, settings.dropout, None)
        self.layers = nn.ModuleList(EncoderLayer(*shape) for _ in range(settings.layers))
        self.bias, self.norm = RelativeBias(settings.heads), RMSNorm(settings.dim)
        self.dropout = Dropout(settings.dropout)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of every target of a packed batch, in nats."""
        states = self.states(batch.items)
        there = batch.targets >= 0
        users = torch.arange(len(batch.items), device=batch.items.device)[:, None].expand_as(batch.targets)
        logits = states[users[there], batch.position[there]] @ self.item_table.T
        return {"loss": functional.cross_entropy(logits, batch.targets[there])}

    def states(self, items: Tensor) -> Tensor:
        """The state at each item of int64 ``[B, T]`` (−1 behind the end), from it and those before: ``[B, T, D]``."""
        position = torch.arange(items.shape[1], device=items.device)
        bias = self.bias(position[:, None] - position[None, :])
        hidden = self.dropout(self.item_table[items.clamp_min(0)])
        for layer in self.layers:
            hidden = layer(hidden, bias)
        return self.norm(hidden)

    @torch.no_grad()
    def scores(self, histories: IntArray, lengths: IntArray) -> npt.NDArray[np.float32]:
        """``p(next item)`` for each history: float32 ``[B, items]``, rows sum to one.

        Args: as :meth:`s2gr.reasoner.recommender.Recommender.rankings`.
        """
        width = min(self.settings.history, int(lengths.max()))
        columns = np.maximum(0, lengths - width)[:, None] + np.arange(width)
        recent = np.take_along_axis(histories, np.minimum(columns, histories.shape[1] - 1), 1)
        recent = np.where(columns < lengths[:, None], recent, -1).astype(np.int64)
        device = self.item_table.device
        last = torch.from_numpy(np.minimum(lengths, width) - 1).to(device)
        states = self.states(torch.from_numpy(recent).to(device))
        logits = states[torch.arange(len(recent), device=device), last] @ self.item_table.T
        found: npt.NDArray[np.float32] = logits.float().softmax(-1).cpu().numpy()
        return found


@dataclass(frozen=True)
class Trained:
    model: SASRec
    # One row per epoch, as :func:`s2gr.training.fit` returns them.
    rows: list[Row]


def train(sequences: Sequences, settings: Settings, runtime: Runtime, checkpoint: Path) -> Trained:
    """Train on the training split; the epoch with the best validation NDCG@10 is kept."""
    training = sequences.training()
    fabric = start_fabric(runtime)
    model = SASRec(sequences.n_items, settings)
    cases = build_cases(sequences, "validation", settings.history).sample(settings.validation_users, runtime.seed)
    plan = Plan(
        description="sasrec",
        epochs=settings.epochs,
        batches=lambda epoch: packed_batches(
            training, settings.history, settings.batch_size, runtime.seed * 1_000_003 + epoch
        ),
        validate=lambda: {"ndcg@10": mean_ndcg(model, cases)},
        criterion="ndcg@10",
        patience=settings.patience,
        gradient_clip=settings.gradient_clip,
        schedule=warmup_cosine(settings.warmup),
    )
    groups = parameter_groups(model.named_parameters(), settings.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate)
    digest = hashlib.sha256(f"{asdict(settings)}{runtime.effective()}".encode())
    for array in (training.offsets, training.items, cases.histories, cases.targets):
        digest.update(np.ascontiguousarray(array).tobytes())
    return Trained(model, fit(fabric, model, optimizer, plan, checkpoint, digest.hexdigest()))


def mean_ndcg(model: SASRec, cases: Cases, k: int = 10) -> float:
    """NDCG@k of the cases, without the seen filter."""
    ranks = [
        ranks_by_score(model.scores(batch.histories, batch.lengths), batch.targets) for batch in cases.batches(_USERS)
    ]
    return float(gains(np.concatenate(ranks), k).mean())
