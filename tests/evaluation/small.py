"""Small logs, and a reasoner that has learned nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from hypothesis import strategies as st

from s2gr.params import Reasoner
from s2gr.reasoner.fusion import Fusion, Weights
from s2gr.reasoner.model import S2GR, Catalogue
from s2gr.reasoner.recommender import Recommender
from s2gr.sequences import TEST, TRAIN, VALIDATION, Sequences, load_sequences
from s2gr.sids.semantic_ids import SemanticIds
from s2gr.walk import GraphWalk, WalkCounts, WalkWeights
from s2gr.workspace import Workspace, write_table

# Of a log of item numbers.
ITEMS = 6
LOGS = st.lists(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=8), min_size=1, max_size=5)
# Of an untrained reasoner's semantic IDs.
LEVELS, CODES = 3, 4

Log = Mapping[str, Sequence[str]]


def write_log(root: Path, log: Log) -> Workspace:
    """Write events and items of ``{user: items in order}``, split leave-one-out."""
    workspace = Workspace(root)
    rows: list[tuple[str, str, int, str]] = []
    for user in sorted(log):
        items = log[user]
        for position, item in enumerate(items):
            left = len(items) - position
            split = "train" if len(items) < 3 or left > 2 else ("test", "validation")[left - 1]
            rows.append((user, item, position, split))
    users, items_, positions, splits = zip(*rows, strict=True)
    write_table(
        pa.table(
            {
                "user_id": pa.array(users),
                "item_id": pa.array(items_),
                "timestamp": pa.array([p * 1_000_000 for p in positions], pa.timestamp("us", "UTC")),
                "position": pa.array(positions, pa.int32()),
                "split": pa.array(splits),
            }
        ),
        workspace.events,
    )
    catalogue = sorted(set(items_))
    titles = [f"Title of {item}" for item in catalogue]
    write_table(pa.table({"item_id": catalogue, "title": titles, "text": titles}), workspace.items)
    return workspace


def sequences_of(logs: list[list[int]]) -> Sequences:
    offsets = np.concatenate([[0], np.cumsum([len(log) for log in logs])]).astype(np.int64)
    split = [[TRAIN] * len(log) if len(log) < 3 else [TRAIN] * (len(log) - 2) + [VALIDATION, TEST] for log in logs]
    names = [f"i{item}" for item in range(ITEMS)]
    return Sequences(
        [f"u{user}" for user in range(len(logs))],
        offsets,
        np.array([item for log in logs for item in log], np.int32),
        np.array([part for parts in split for part in parts], np.uint8),
        names,
    )


def walk_of(sequences: Sequences, kind: str = "directed", weights: WalkWeights | None = None) -> GraphWalk:
    """The walk over the training events; ``kind``: ``directed`` or ``undirected``."""
    counts = WalkCounts.of(sequences)
    return GraphWalk(getattr(counts, kind), counts.popularity, weights)


def untrained(workspace: Workspace, **settings: Any) -> Recommender:
    """A reasoner that has learned nothing, saved where the stage looks for it."""
    sequences = load_sequences(workspace.events, workspace.items)
    generator = np.random.default_rng(0)
    every = np.array(list(np.ndindex(*[CODES] * LEVELS)))
    codes = every[generator.choice(len(every), sequences.n_items, replace=False)]
    columns = {f"code_{level + 1}": codes[:, level].astype(np.int32) for level in range(LEVELS)}
    write_table(pa.table({"item_id": sequences.item_ids, **columns}), workspace.sids)
    torch.manual_seed(0)
    shape = {"dim": 16, "heads": 2, "feed_forward": 16, "dropout": 0.0, "history": 8, "clusters": 2}
    params = Reasoner.model_validate(shape | settings)
    centres, clusters = torch.randn(LEVELS, 2, 5), torch.randint(0, 2, (LEVELS, CODES))
    model = S2GR(params, Catalogue(torch.from_numpy(codes), CODES, centres, clusters))
    fusion = Fusion(Weights(0.2, 0.3, 0.4, 0.1), Weights(0.1, 0.6, 0.3, 0.0))
    sids = SemanticIds(sequences.item_ids, codes)
    recommender = Recommender(model, sids, WalkCounts.of(sequences), fusion, torch.device("cpu"))
    recommender.save(workspace.reasoner)
    return recommender
