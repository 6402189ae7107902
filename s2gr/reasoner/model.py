"""S²GR: an encoder over the history, and a decoder that thinks before every code (docs/method.md §4).

Decoder inputs for L = 3: ``BOS → t1 → s1 → t2 → s2 → t3``; the output at ``t_l`` predicts ``s_l``, and
``t_l = (output at the position before) + p_l`` is continuous. ``thinking.py`` describes this and its alternatives.
Tensors: ``B`` histories of ``T`` items, ``Q`` targets or hypotheses of each, ``L`` levels, ``K`` codes, width ``D``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2gr.params import Reasoner
from s2gr.reasoner.backbone import Context, Decoder, Encoder
from s2gr.reasoner.thinking import Kind, Place, schedule

# Standard deviation of the initial item embeddings.
_ITEM_STD = 0.02


@dataclass(frozen=True)
class Catalogue:
    """What the model knows of the items."""

    codes: Tensor  # int64 [items, L]
    size: int  # K
    centres: Tensor  # float32 [L, Kc, latent]: cluster centres of each level's code vectors
    cluster: Tensor  # int64 [L, K]: the cluster of each code
    content: Tensor | None = None  # float32 [items, width]: embeddings of unit norm, if the model is to know them


@dataclass(frozen=True)
class Memory:
    """An encoded history: what all targets or hypotheses of a user share."""

    encoded: Tensor  # [B, T, D]
    # int64 [B, Q, T]: how many items before the target's predecessor; negative is hidden.
    distance: Tensor
    # What the decoder reads.
    context: Context

    @property
    def state(self) -> Tensor:
        """The encoded history at the item before each target: ``[B, Q, D]``."""
        # The distance of the first item is the index of the last.
        last = self.distance[:, :, :1]
        return self.encoded.gather(1, last.expand(-1, -1, self.encoded.shape[2]))

    def widened(self, queries: int) -> Memory:
        """The same for ``queries`` hypotheses of each user's first target."""
        distance = self.distance[:, :1].expand(-1, queries, -1)
        bias = self.context.bias[:, :, :1].expand(-1, -1, queries, -1)
        return Memory(self.encoded, distance, Context(self.context.layers, bias))


@dataclass(frozen=True)
class Decoded:
    """The packed, teacher-forced outputs for every target."""

    logits: Tensor  # [B, Q, L, K]
    thoughts: Tensor | None  # [B, Q, thoughts, D], if there are any


class S2GR(nn.Module):
    """The network; losses stand in ``losses.py``, decoding in ``decoding.py``."""

    codes: Tensor
    centres: Tensor
    cluster: Tensor
    content: Tensor

    def __init__(self, params: Reasoner, catalogue: Catalogue) -> None:
        super().__init__()
        self.params = params
        items, levels = catalogue.codes.shape
        dim = params.dim
        self.schedule = schedule(params, levels)
        self.register_buffer("codes", catalogue.codes)
        self.register_buffer("centres", catalogue.centres)
        self.register_buffer("cluster", catalogue.cluster)
        # Rows of norm ~1: as inputs they are scaled by √D, as output weights they are used as they are (tied).
        self.code_table = nn.Parameter(torch.randn(levels, catalogue.size, dim) * dim**-0.5)
        # An item starts as little more than its codes: most have few events, and noise would outlive their training.
        self.item_table = nn.Parameter(torch.randn(items, dim) * _ITEM_STD) if params.item_embedding else None
        # From the content embeddings' space to the model's: what an item is beside its codes, known of new ones too.
        self.content_map = None
        if params.content_embedding and catalogue.content is not None:
            self.register_buffer("content", catalogue.content)
            self.content_map = nn.Linear(catalogue.content.shape[1], dim, bias=False)
            nn.init.normal_(self.content_map.weight, std=dim**-0.5)
        shape = (dim, params.heads, params.feed_forward, params.dropout, params.head_dim)
        self.encoder = Encoder(params.encoder_layers, *shape)
        self.decoder = Decoder(params.decoder_layers, *shape)
        self.start = nn.Parameter(torch.randn(dim))
        self.start_map = nn.Linear(dim, dim, bias=False) if params.start == "state" else None
        if params.interest_reader == "decoder":
            self.interest_decoder = Decoder(max(1, params.decoder_layers // 2), *shape)
            self.interest_start = nn.Parameter(torch.randn(dim))
        # The learned position of each thought, or each pause itself.
        scale = 0.1 if self.schedule.feeds_back else 1.0
        extra = self.schedule.extra
        self.thought_table = nn.Parameter(torch.randn(extra, dim) * scale) if extra else None
        # From the codebook's latent space to the model's, one linear map per level with thoughts, on frozen centres.
        aligned, latent = len(self.schedule.aligned), catalogue.centres.shape[2]
        self.centre_map = nn.Parameter(torch.randn(aligned, latent, dim) * dim**-0.5) if aligned else None

    @property
    def levels(self) -> int:
        return self.codes.shape[1]

    def item_vectors(self, items: Tensor | None = None) -> Tensor:
        """``[N, D]`` of ``items`` (all, if None), which v_g is compared with.

        The mean code embedding, plus the mapped content embedding and the item's own embedding if there are such.
        """
        rows = slice(None) if items is None else items
        vectors = self.code_table[torch.arange(self.levels, device=self.codes.device), self.codes[rows]].mean(1)
        if self.content_map is not None:
            vectors = vectors + self.content_map(self.content[rows])
        return vectors if self.item_table is None else vectors + self.item_table[rows]

    @torch.no_grad()
    def add_items(self, codes: Tensor, content: Tensor) -> None:
        """Know items that came after training: int64 ``[N, L]`` and their content ``[N, dim]``.

        They are what their codes and their content say; an embedding of their own they have not learned.
        """
        self.codes = torch.cat([self.codes, codes.to(self.codes)])
        if self.content_map is not None:
            self.content = torch.cat([self.content, content.to(self.content)])
        if self.item_table is not None:
            unlearned = self.item_table.new_zeros(len(codes), self.item_table.shape[1])
            self.item_table = nn.Parameter(torch.cat([self.item_table, unlearned]), requires_grad=False)

    def encode(self, items: Tensor, position: Tensor) -> Memory:
        """Encode histories once.

        Args:
            items: int64 ``[B, T]``, oldest first, −1 behind the end.
            position: int64 ``[B, Q]``, for each target the index of the item before it.
        """
        known = items.clamp_min(0)
        levels = torch.arange(self.levels, device=items.device)
        tokens = self.code_table[levels, self.codes[known]].sum(2)
        if self.item_table is not None:
            tokens = tokens + self.item_table[known]
        encoded = self.encoder(tokens * self.params.dim**0.5)
        index = torch.arange(items.shape[1], device=items.device)
        # Later items, padding among them, are at negative distances, hence hidden.
        distance = position[:, :, None] - index
        return Memory(encoded, distance, self.decoder.context(encoded, distance))

    def interest(self, memory: Memory) -> Tensor:
        """v_g, the overall interest at each target: ``[B, Q, D]``."""
        if self.params.interest_reader == "state":
            return memory.state
        users, queries, _ = memory.distance.shape
        start = self.interest_start.expand(users, queries, 1, -1)
        context = self.interest_decoder.context(memory.encoded, memory.distance)
        return self.interest_decoder(start, None, context)[0].squeeze(2)

    def interest_logits(self, interest: Tensor, vectors: Tensor | None = None) -> Tensor:
        """``[N, items]`` of v_g ``[N, D]``, scored as it is trained: by cosine / τ in a batch, else by dot product.

        ``vectors``: :meth:`item_vectors`, where they are at hand.
        """
        vectors = self.item_vectors() if vectors is None else vectors
        if self.params.interest == "batch":
            interest, vectors = functional.normalize(interest, dim=-1), functional.normalize(vectors, dim=-1)
            return interest @ vectors.T / self.params.interest_temperature
        return interest @ vectors.T

    def decode(self, memory: Memory, targets: Tensor) -> Decoded:
        """All codes of all targets ``[B, Q]``, teacher-forced.

        Every thought takes a pass of its own, for it feeds back; whatever else stands between two thoughts goes along.
        """
        codes, output, past = self.codes[targets], self.first_token(memory), None
        predicting, thoughts = [], []
        for places in self.schedule.training():
            tokens = [self.token(place, output, codes) for place in places]
            found, past = self.decoder(torch.stack(tokens, 2), past, memory.context)
            predicting += [found[:, :, index] for index, place in enumerate(places) if place.predicts]
            thoughts += [token for token, place in zip(tokens, places, strict=True) if place.kind is Kind.THOUGHT]
            output = found[:, :, -1]
        logits = torch.einsum("bqld,lkd->bqlk", torch.stack(predicting, 2), self.code_table)
        return Decoded(logits, torch.stack(thoughts, 2) if thoughts else None)

    def first_token(self, memory: Memory) -> Tensor:
        """The decoder's first input, ``BOS``: ``[B, Q, D]``."""
        users, queries, _ = memory.distance.shape
        start = self.start.expand(users, queries, -1)
        return start if self.start_map is None else start + self.start_map(memory.state)

    def token(self, place: Place, output: Tensor, codes: Tensor) -> Tensor:
        """The decoder's input at ``place``: ``[B, Q, D]``.

        Args:
            output: the output at the position before, ``[B, Q, D]``; at the start, :meth:`first_token`.
            codes: int64 ``[B, Q, levels]``, those that are known by now.
        """
        match place.kind:
            case Kind.START:
                return output
            case Kind.CODE:
                return self.code_table[place.index][codes[..., place.index]] * self.params.dim**0.5
            case Kind.PAUSE:
                assert self.thought_table is not None
                return self.thought_table[place.index].expand(*codes.shape[:2], -1)
            case Kind.THOUGHT:
                return self.think(output, place.index)

    def think(self, output: Tensor, index: int) -> Tensor:
        """Thought ``index``: the decoder's last output plus its own learned position, ``[B, Q, D]``."""
        assert self.thought_table is not None
        return output + self.thought_table[index]

    def cluster_logits(self, thoughts: Tensor) -> Tensor:
        """``cos(t_l, c_{l,k}) / τ``, what the last thought of each aligned level says of the clusters to come.

        Args:
            thoughts: ``[N, thoughts, D]``.

        Returns: ``[N, levels, Kc]``, the levels as in ``schedule.aligned``.
        """
        assert self.centre_map is not None
        aligned = self.schedule.aligned
        centres = torch.einsum("lkc,lcd->lkd", self.centres[list(aligned)], self.centre_map)
        last = functional.normalize(thoughts[:, list(aligned.values())], dim=-1)
        near = torch.einsum("nld,lkd->nlk", last, functional.normalize(centres, dim=-1))
        return near / self.params.alignment_temperature

    def code_logits(self, output: Tensor, level: int) -> Tensor:
        """``[..., K]`` of the decoder's output ``[..., D]`` at the position that predicts ``level``."""
        return output @ self.code_table[level].T
