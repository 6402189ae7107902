"""The sections of the stages, and what they share: the machine, and where raw logs come from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from s2gr.errors import UserError
from s2gr.params.section import Count, Fraction, Hours, Positive, Section


class Runtime(Section):
    """What every stage shares."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    # 0 = all cores
    threads: Annotated[int, Field(ge=0)] = 0
    # Of DuckDB, which spills what does not fit to disk, and of the batches of users that are ranked side by side.
    memory_gb: Positive = 3.0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    # More than one trains data-parallel (DDP).
    devices: Count = 1
    precision: Literal["32-true", "bf16-mixed"] = "32-true"

    def effective(self) -> str:
        """What a training depends on, as JSON: a memory limit decides how fast a stage computes, not what."""
        return self.model_dump_json(exclude={"memory_gb"})


class EventColumns(Section):
    """Which columns of the interactions file hold what."""

    user: str = "user_id"
    item: str = "item_id"
    timestamp: str = "timestamp"


class ItemColumns(Section):
    """Which columns of the items file hold what; the ``text`` columns are joined."""

    item: str = "item_id"
    title: str | None = "title"
    text: list[str] = Field(default=["title", "text"], min_length=1)
    # Where a file has this column, it says when a row was written: of two rows of one item the newer one counts.
    updated: str | None = "updated"


class Source(Section):
    """Where raw logs come from."""

    kind: Literal["movielens-100k", "files"] = "movielens-100k"
    path: Path = Path("data/landing")
    # For kind `files`: a name or a pattern below `path`, which Parquet, CSV and JSONL files are meant. None: every file
    # whose columns fit.
    interactions: str | None = None
    items: str | None = None
    interaction_columns: EventColumns = EventColumns()
    item_columns: ItemColumns = ItemColumns()
    # Of whole-number timestamps; text is read as ISO 8601. `auto` goes by magnitude.
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"

    def file(self, name: str, parameter: str) -> Path:
        """The file ``name`` below ``path``; ``parameter`` is what names it.

        Raises: UserError: it lies elsewhere.
        """
        folder = Path(os.path.abspath(self.path))
        # Not resolved: a link inside the folder may lead elsewhere.
        file = Path(os.path.abspath(folder / name))
        if not file.is_relative_to(folder):
            raise UserError(
                f"{parameter}: {name!r} is not below source.path ({folder}); "
                "put or link the file there, or set source.path to a folder that holds it"
            )
        return self.path / file.relative_to(folder)


class Events(Section):
    k_core: Annotated[int, Field(ge=1)] = 5
    # The order within equal timestamps: the log's own, or a seeded shuffle.
    ties: Literal["log", "shuffled"] = "log"
    # `leave-one-out`: of every user the last event for test, the one before for validation. `temporal`: the newest
    # `held_out` of all events for test, as many before them for validation, whoever's they are.
    split: Literal["leave-one-out", "temporal"] = "leave-one-out"
    held_out: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.1
    # A larger share of rejected rows refuses the whole file.
    max_rejected: Fraction = 0.1


class Content(Section):
    kind: Literal["tfidf", "sentence-transformers", "precomputed"] = "tfidf"
    # Of the truncated SVD.
    dim: Annotated[int, Field(ge=2)] = 128
    # tfidf: the folder of an earlier content model to embed with, in the place of one learned anew, so that items that
    # were there keep their embedding. Whatever warm-starts a codebook needs that: a new SVD is another space.
    frozen: Path | None = None
    # A sentence-transformers name or a local folder.
    model: str | None = None
    # Below source.path: .npy with `ids` beside it (one item id a line), or Parquet with item_id and embedding.
    embeddings: str | None = None
    ids: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Content:
        if self.kind == "sentence-transformers" and not self.model:
            raise ValueError("kind `sentence-transformers` needs `content.model`: a model's name or folder")
        if self.kind == "precomputed" and not self.embeddings:
            raise ValueError("kind `precomputed` needs `content.embeddings`: a .npy or Parquet file below source.path")
        if self.frozen and self.kind != "tfidf":
            raise ValueError(f"`content.frozen` is for kind `tfidf`; with kind `{self.kind}` set it to null")
        return self


class Cooccurrence(Section):
    # Items at most this many positions apart in one user's training history co-occur.
    window: Count = 3
    # … and at most this many hours; null = whatever the time between them.
    window_hours: Hours | None = None
    # α: how much of an item's own content stays in each propagation step; 1 switches propagation off.
    teleport: Annotated[float, Field(gt=0.0, le=1.0)] = 0.3
    # Kg
    steps: Annotated[int, Field(ge=0)] = 2


class Codebook(Section):
    # `coba`: RQ-VAE with uniformity and balance. `rqvae`: the same network with both off, whatever their weights say.
    # `rqkmeans`: residual k-means on the aligned embeddings themselves, without a network: of the parameters below, it
    # reads `levels`, `codes` and `warm_start`.
    # The default is what recommends best (docs/results.md); the paper's is `coba`.
    kind: Literal["coba", "rqvae", "rqkmeans"] = "rqkmeans"
    levels: Annotated[int, Field(ge=2, le=6)] = 3
    codes: Annotated[int, Field(ge=2, le=4096)] = 256
    latent_dim: Annotated[int, Field(ge=2)] = 32
    hidden: list[Count] = Field(default=[256, 128])
    epochs: Annotated[int, Field(ge=1)] = 100
    # The share of the epochs in which the network learns to reconstruct before k-means places the code vectors.
    warmup: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    batch_size: Count = 1024
    learning_rate: Positive = 2e-3
    commitment: Annotated[float, Field(ge=0.0)] = 0.25
    # Weight of the repulsion between code vectors nearer than `margin` times their median distance; 0 switches it off.
    uniformity: Annotated[float, Field(ge=0.0)] = 0.1
    margin: Positive = 0.5
    # γ: how strongly usage scales the selection distance, clipped to ± balance_clip; 0 switches it off.
    balance: Annotated[float, Field(ge=0.0)] = 0.1
    balance_clip: Annotated[float, Field(ge=0.0, le=0.2)] = 0.1
    # The folder of an earlier codebook of the same kind and shape to go on from, so that fewer items change their ID.
    warm_start: Path | None = None

    @property
    def warmup_epochs(self) -> int:
        return int(self.warmup * self.epochs)

    @model_validator(mode="after")
    def _countable(self) -> Codebook:
        if self.codes**self.levels >= 2**63:
            raise ValueError(f"`codes` ^ `levels` ({self.codes}^{self.levels}) must stay below 2^63")
        return self


class Sids(Section):
    # Codes are chosen by the plain distance at export; the balancing of codebook.kind `coba` acts in training only, or
    # with this at export too.
    balanced: bool = False
    # An earlier sids.parquet: reports/sids.json then says how many items changed their ID since (`churn`).
    previous: Path | None = None


class Reasoner(Section):
    # What stands between the codes in the decoder (s2gr/reasoner/thinking.py): nothing (TIGER), thoughts before each
    # code (S²GR), as many learned tokens that feed nothing back, or all thoughts before the first code.
    thinking: Literal["none", "stepwise", "pause", "before"] = "stepwise"
    # Thoughts (or pauses) for each level.
    steps: list[Annotated[int, Field(ge=0)]] = Field(default=[1, 1, 1])
    dim: Annotated[int, Field(ge=8)] = 96
    heads: Count = 4
    # The decoder's first input: a learned vector, or with the encoder's state at the last item added to it.
    start: Literal["learned", "state"] = "state"
    # Width of an attention head; None: dim / heads.
    head_dim: Count | None = None
    feed_forward: Count = 192
    encoder_layers: Count = 2
    decoder_layers: Annotated[int, Field(ge=2)] = 2
    # At most .95: rounded to a 256th, as the network draws it, a rate near 1 would leave nothing.
    dropout: Annotated[float, Field(ge=0.0, le=0.95)] = 0.1
    # Items of history that the encoder reads.
    history: Count = 20
    epochs: Count = 5
    # Targets in one training batch.
    batch_size: Count = 512
    learning_rate: Positive = 3e-3
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.05
    warmup: Fraction = 0.05
    gradient_clip: Positive = 1.0
    # Stop when validation NDCG@10 has not risen for this many epochs.
    patience: Count = 3
    # Users whose validation target measures each epoch.
    validation_users: Count = 2000
    # Kc clusters of a level's code vectors, temperature τ and weight of the alignment loss.
    clusters: Annotated[int, Field(ge=2)] = 16
    alignment_temperature: Positive = 0.1
    alignment: Annotated[float, Field(ge=0.0)] = 1.0
    # Whence v_g: an auxiliary decoder of half the depth (the paper's), or the encoder's state at the last item.
    interest_reader: Literal["decoder", "state"] = "state"
    # In-batch InfoNCE by cosine / `interest_temperature` (`batch`), or cross-entropy over the whole catalogue by dot
    # product (`catalogue`) for the interest vector v_g.
    interest: Literal["batch", "catalogue"] = "catalogue"
    interest_temperature: Positive = 0.1
    # `catalogue`: a catalogue of more items than this is sampled, so many of them a step; 0 never samples.
    sampled_softmax: Annotated[int, Field(ge=0)] = 16384
    interest_weight: Annotated[float, Field(ge=0.0)] = 1.0
    # Weight of what v_g teaches the codes: its distribution over the items, summed up to the codes; 0 switches it off.
    distillation: Annotated[float, Field(ge=0.0)] = 1.0
    # λ of the regulariser 1 − cos(t_1, sg(v_g)).
    regulariser: Annotated[float, Field(ge=0.0)] = 0.1
    # An item-ID embedding beside the code embeddings.
    item_embedding: bool = True
    # The content embedding, mapped linearly, in what v_g is compared with.
    content_embedding: bool = True
    # `beam`: the paper's ranking; `fused`: beam, interest vector v_g and both co-occurrence walks, scored together.
    ranking: Literal["beam", "fused"] = "fused"

    @model_validator(mode="after")
    def _consistent(self) -> Reasoner:
        if self.head_dim is None and self.dim % self.heads:
            raise ValueError(f"`dim` ({self.dim}) must be a multiple of `heads` ({self.heads}), or set `head_dim`")
        if self.thinking != "none" and not sum(self.steps):
            raise ValueError("`steps` are all 0; to decode without thinking set `thinking: none`")
        if self.distillation and not (self.interest == "catalogue" and self.interest_weight):
            raise ValueError(
                "`distillation` needs an interest vector that is trained on the whole catalogue: set "
                "`interest: catalogue` and `interest_weight` above 0, or `distillation: 0`"
            )
        if self.ranking == "fused" and not self.interest_weight:
            raise ValueError("`ranking: fused` needs a trained interest vector; set `interest_weight` above 0")
        return self


class Evaluation(Section):
    ks: list[Count] = Field(default=[5, 10], min_length=1)
    # The first width is the primary one; each further one costs as much time again.
    beams: list[Count] = Field(default=[20], min_length=1)
    batch_size: Count = 256
    # Resamples of the paired bootstrap over users.
    bootstrap: Annotated[int, Field(ge=100)] = 1000
    # Users for whom the network also decodes with its thoughts zeroed, shuffled and swapped; 0 switches it off.
    control_users: Annotated[int, Field(ge=0)] = 1000

    @model_validator(mode="after")
    def _wide_enough(self) -> Evaluation:
        if min(self.beams) < max(self.ks):
            raise ValueError(f"every beam must be at least max(ks) = {max(self.ks)} wide, found {min(self.beams)}")
        return self


class Recommendations(Section):
    # Items for each user.
    k: Count = 10
    # Leave out what the user has met, however long ago.
    exclude_seen: bool = True
    beam: Count = 20
    # Users whose recommendations are kept at a time: a killed run goes on from there.
    shard_users: Count = 20_000
    batch_size: Count = 256
