"""The best items for every user of the log, for whoever sends mails or fills a page without asking a service.

Users are taken shard by shard, in the order of the log. Memory is that of the log, of one shard's recommendations, and
of the scores for the whole catalogue of as many batches of users as ``runtime.memory_gb`` holds, at least one.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from s2gr.code_behind import digest_of_code
from s2gr.console import Tracker, progress
from s2gr.database import database, one_file, one_row, sql
from s2gr.manifest import content_hash, hash_files
from s2gr.params import Params
from s2gr.reasoner.recommender import Ranking, Recommender
from s2gr.recommendations.shards import in_shards, join
from s2gr.runtime import side_by_side
from s2gr.sequences import Sequences, load_sequences
from s2gr.stage import Metrics
from s2gr.workspace import Workspace

IntArray = npt.NDArray[np.int64]


def run(params: Params, inputs: Workspace, outputs: Workspace) -> Metrics:
    """Write ``recommendations.parquet``: ``user_id``, ``rank`` (from 1), ``item_id``, ``score``; by user and rank."""
    section = params.recommendations
    sequences = load_sequences(inputs.events, inputs.items)
    recommender = Recommender.load(inputs, params)
    users = np.arange(sequences.n_users)
    shards = [users[start : start + section.shard_users] for start in range(0, len(users), section.shard_users)]
    with progress("recommendations", len(users)) as tracker:
        paths = in_shards(
            inputs.unfinished("recommendations"),
            _fingerprint(params, inputs),
            len(shards),
            lambda shard: recommend_to(shards[shard], sequences, recommender, params, tracker),
            lambda shard: tracker.advance(len(shards[shard])),
        )
    join(paths, outputs.recommendations)
    with database(params.runtime, inputs.state) as connection:
        query = sql(__file__, "summary.sql").format(recommendations=one_file(outputs.recommendations))
        found = one_row(connection, query, {"k": section.k})
    return {
        "users": len(users),
        "rows": found["rows"],
        "users_with_fewer": len(users) - found["full_lists"],
        "items": found["items"],
        "coverage": round(found["items"] / sequences.n_items, 6),
    }


def recommend_to(
    users: IntArray, sequences: Sequences, recommender: Recommender, params: Params, tracker: Tracker
) -> pa.Table:
    """The table of a few users, who go through the network in batches of similar length."""
    section = params.recommendations
    lengths = np.diff(sequences.offsets)[users]
    history = recommender.model.params.history
    items = np.full((len(users), section.k), -1, dtype=np.int64)
    scores = np.zeros((len(users), section.k), dtype=np.float32)
    order = np.argsort(lengths, kind="stable")

    def of_batch(rows: IntArray) -> Ranking:
        seen = [sequences.items[slice(*sequences.offsets[user : user + 2])] for user in users[rows]]
        recent = [met[-history:] for met in seen]
        read = np.full((len(rows), max(map(len, recent))), -1, dtype=np.int64)
        for row, met in zip(read, recent, strict=True):
            row[: len(met)] = met
        exclude = [np.unique(met).astype(np.int64) for met in seen] if section.exclude_seen else None
        kept = np.array([len(met) for met in recent])
        return recommender.rank(read, kept, section.k, section.beam, exclude)

    batches = [order[start : start + section.batch_size] for start in range(0, len(order), section.batch_size)]
    room = recommender.bytes_for(section.batch_size)
    rankings = side_by_side(of_batch, batches, recommender.device, params.runtime, room)
    for rows, found in zip(batches, rankings, strict=True):
        width = found.items.shape[1]
        items[rows, :width], scores[rows, :width] = found.items, found.scores
        tracker.advance(len(rows))
    return _table(users, items, scores, sequences)


def _table(users: IntArray, items: IntArray, scores: npt.NDArray[np.float32], sequences: Sequences) -> pa.Table:
    row, place = np.nonzero(items >= 0)
    return pa.table(
        {
            "user_id": pa.array(sequences.user_ids, pa.string()).take(pa.array(users[row])),
            "rank": pa.array(place + 1, pa.int32()),
            "item_id": pa.array(sequences.item_ids, pa.string()).take(pa.array(items[row, place])),
            "score": pa.array(scores[row, place], pa.float32()),
        }
    )


def _fingerprint(params: Params, inputs: Workspace) -> str:
    """Of all that the recommendations hang on."""
    model = sorted(f"models/reasoner/{path.name}" for path in inputs.reasoner.iterdir())
    files = hash_files(inputs.root, ["data/events.parquet", "data/items.parquet", "data/sids.parquet", *model])
    settings = f"{params.recommendations.model_dump_json()}{params.runtime.effective()}"
    return hashlib.sha256(f"{settings}{content_hash(files)}{digest_of_code(__name__)}".encode()).hexdigest()[:16]
