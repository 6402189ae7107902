"""Our TIGER and S²GR beside other people's TIGER: one size, one catalogue, one set of real histories.

4 + 4 layers, width 128, six heads of 64, feed-forward 1024: the shape that cornac's TIGER comes with. All get the same
semantic IDs, residual k-means of the items' embeddings made unique: how many items share a prefix decides what a trie
search costs. Weights are random: speed hardly depends on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from s2gr.codebook.kmeans import residual_kmeans
from s2gr.console import log
from s2gr.errors import UserError
from s2gr.params import Reasoner
from s2gr.reasoner.model import S2GR, Catalogue
from s2gr.sequences import Sequences
from s2gr.sids.assignment import assign

IntArray = npt.NDArray[np.int64]
# Rows of the catalogue, oldest first.
History = npt.NDArray[np.integer[Any]]

LEVELS, CODES, HISTORY = 3, 256, 20
DIM, HEADS, HEAD_DIM, FEED_FORWARD, LAYERS = 128, 6, 64, 1024, 4

# Both predict SIDs from SIDs, as the peers do; S²GR with all the losses of the paper. It reads v_g from the encoder, or
# as in the paper from an auxiliary decoder of half the depth.
TIGER: dict[str, Any] = {"thinking": "none", "interest_weight": 0.0, "distillation": 0.0}
S2GR_FORM: dict[str, Any] = {
    "thinking": "stepwise",
    "interest": "batch",
    "interest_reader": "state",
    "distillation": 0.0,
}
PAPER_FORM: dict[str, Any] = {**S2GR_FORM, "interest_reader": "decoder"}


def peer(module: str) -> Any | None:
    """An optional module, or None and a line that says how to get it."""
    try:
        return import_module(module)
    except ImportError as error:
        log.warning("%s is left out (%s): pip install 's2gr[peers]'", module.split(".")[0], error)
        return None


def read_histories(folder: Path) -> Sequences:
    """The users' sequences of ``interactions.parquet``, by time and then in the file's order."""
    file = folder / "interactions.parquet"
    if not file.exists():
        raise UserError(f"--data: expected a folder with interactions.parquet, found none in {folder}")
    table = pq.read_table(file, columns=["user_id", "item_id", "timestamp"])
    users, items = (pc.dictionary_encode(table[name]).combine_chunks() for name in ("user_id", "item_id"))
    user, item = (column.indices.to_numpy().astype(np.int64) for column in (users, items))
    order = np.lexsort((table["timestamp"].to_numpy(), user))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(user))])
    return Sequences(
        [str(name) for name in users.dictionary],
        offsets,
        item[order].astype(np.int32),
        np.zeros(len(order), np.uint8),
        [str(name) for name in items.dictionary],
    )


def histories_of(sequences: Sequences, count: int) -> list[History]:
    """What came before the last event of ``count`` random users, as much of it as is read."""
    users = np.random.default_rng(0).choice(sequences.n_users, count, replace=False)
    bounds = zip(sequences.offsets[users], sequences.offsets[users + 1] - 1, strict=True)
    return [sequences.items[max(start, end - HISTORY) : end] for start, end in bounds]


def semantic_ids(folder: Path, item_ids: list[str]) -> IntArray:
    """Unique codes ``[items, levels]`` from ``embeddings.npy`` and ``embeddings_item_ids.txt``."""
    names = (folder / "embeddings_item_ids.txt").read_text(encoding="utf-8").split()
    rows = {name: row for row, name in enumerate(names)}
    embeddings = np.load(folder / "embeddings.npy")[[rows[item] for item in item_ids]].astype(np.float32)
    levels = [found for found, _ in residual_kmeans(embeddings, LEVELS, CODES, 10, 0)]
    nearest = np.stack([found.labels for found in levels], axis=1).astype(np.int64)
    return assign(embeddings, nearest, np.stack([found.centres for found in levels])).codes


def random_codes(items: int, levels: int = LEVELS, size: int = CODES) -> IntArray:
    """Unique semantic IDs ``[items, levels]``, all equally likely."""
    flat = np.random.default_rng(0).choice(size**levels, items, replace=False)
    return np.stack([flat // size**level % size for level in reversed(range(levels))], axis=1)


def ours(codes: IntArray, form: dict[str, Any]) -> S2GR:
    """Our network with seeded random weights."""
    torch.manual_seed(0)
    params = Reasoner(
        dim=DIM,
        heads=HEADS,
        head_dim=HEAD_DIM,
        feed_forward=FEED_FORWARD,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        history=HISTORY,
        start="learned",
        item_embedding=False,
        ranking="beam",
        **form,
    )
    clusters = torch.randint(0, params.clusters, (LEVELS, CODES))
    return S2GR(params, Catalogue(torch.from_numpy(codes), CODES, torch.randn(LEVELS, params.clusters, 32), clusters))


def padded_left(histories: Sequence[History], width: int, padding: int) -> IntArray:
    """``[users, width]``: each history behind its ``padding``."""
    rows = np.full((len(histories), width), padding, dtype=np.int64)
    for row, history in zip(rows, histories, strict=True):
        row[width - len(history) :] = history
    return rows


def with_digit(codes: IntArray) -> IntArray:
    """The codes and the fourth digit with which TIGERs tell equal IDs apart: always 0, for these are unique."""
    return np.concatenate([codes, np.zeros_like(codes[:, :1])], 1)


class Cornac:
    """cornac's ``TIGERSeq2Seq``, fed as ``cornac.models.TIGER`` feeds it; that always adds a fourth digit."""

    def __init__(self, module: Any, codes: IntArray) -> None:
        torch.manual_seed(0)
        self.codes = codes
        sizes = [CODES] * LEVELS + [1] * (codes.shape[1] - LEVELS)
        self.model = module.TIGERSeq2Seq(
            level_sizes=sizes,
            d_model=DIM,
            d_ff=FEED_FORWARD,
            num_heads=HEADS,
            d_kv=HEAD_DIM,
            num_enc_layers=LAYERS,
            num_dec_layers=LAYERS,
        )
        # The last row is padding.
        self.tokens = np.zeros((len(codes) + 1, len(sizes)), dtype=np.int64)
        self.tokens[:-1] = self.codes + self.model.offsets.numpy()

    def encoder_input(self, histories: Sequence[History]) -> tuple[Tensor, Tensor]:
        """Tokens and mask ``[users, 20 × digits]``: cornac pads every history to ``max_len`` items."""
        rows = padded_left(histories, HISTORY, len(self.codes))
        tokens = torch.from_numpy(self.tokens[rows].reshape(len(rows), -1))
        return tokens, (tokens != 0).float()

    def search(self, beam: int, histories: Sequence[History]) -> Callable[[], None]:
        """Decodes them one by one, as cornac does."""
        children: list[dict[tuple[int, ...], set[int]]] = [{} for _ in self.codes[0]]
        for row in map(tuple, self.codes.tolist()):
            for level, known in enumerate(children):
                known.setdefault(row[:level], set()).add(row[level])
        prefixes = [{prefix: np.array(sorted(codes)) for prefix, codes in known.items()} for known in children]
        self.model.eval()

        def decode() -> None:
            for history in histories:
                self.model.generate_beam(*self.encoder_input([history]), beam, prefixes)

        return decode


class Rechub:
    """torch-rechub's ``TIGERModel``: Hugging Face's ``generate`` with a trie in Python."""

    def __init__(self, module: Any, codes: IntArray) -> None:
        torch.manual_seed(0)
        self.tokens = codes + 1 + CODES * np.arange(codes.shape[1])
        config = import_module("transformers").T5Config(
            vocab_size=2 + LEVELS * CODES,
            d_model=DIM,
            d_kv=HEAD_DIM,
            d_ff=FEED_FORWARD,
            num_layers=LAYERS,
            num_decoder_layers=LAYERS,
            num_heads=HEADS,
            decoder_start_token_id=0,
            pad_token_id=0,
            eos_token_id=None,
        )
        self.model = module.TIGERModel(config).eval()
        known = import_module("torch_rechub.utils.data").Trie([[0, *row] for row in self.tokens.tolist()])
        self.allowed = known.def_prefix_allowed_tokens_fn(known)

    def search(self, beam: int, histories: Sequence[History]) -> Callable[[], None]:
        """Decodes them all at once."""
        table = np.concatenate([self.tokens, np.zeros_like(self.tokens[:1])])
        rows = padded_left(histories, max(map(len, histories)), len(self.tokens))
        tokens = torch.from_numpy(table[rows].reshape(len(rows), -1))

        def decode() -> None:
            self.model.generate(
                input_ids=tokens,
                attention_mask=(tokens != 0).long(),
                num_beams=beam,
                num_return_sequences=beam,
                max_new_tokens=table.shape[1],
                prefix_allowed_tokens_fn=self.allowed,
                do_sample=False,
            )

        return decode
