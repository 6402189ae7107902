"""What drift is measured against, kept in the bundle: the log that the model was made from, and what it left out.

``drift/log.parquet`` (user_id: a number, item_id, timestamp, position), and ``drift/reference.json``: quantisation
errors of items that play new ones, and what the model says of its own held-out users.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from s2gr.codebook.kmeans import residual_kmeans
from s2gr.codebook.loading import load_codebook
from s2gr.codebook.model import ResidualCodebook
from s2gr.content.frozen import content_model, load_content_model
from s2gr.database import database, literal, one_file, sql
from s2gr.embeddings import Matrix, read_embeddings
from s2gr.evaluation.thoughts import aligned_levels, cluster_entropy
from s2gr.metrics import hits
from s2gr.params import Params
from s2gr.publish.since import Since, known_cases, last_events, ranks
from s2gr.reasoner.recommender import Recommender
from s2gr.workspace import Workspace, read_json, read_table, readable_artefact, write_json

Values = npt.NDArray[np.float64]

# Of the ranking that the model is asked for.
K = 10

# One item in so many plays a new one, at most so many; and so many of the others are clustered.
_LEFT_OUT, _MOST, _CLUSTERED = 5, 2_000, 20_000
_ITERATIONS = 50

# Newest users who are asked about at least: with fewer, chance hides any loss of recall.
_FEWEST = 300
_DAY = 86_400_000_000


@dataclass(frozen=True)
class Answers:
    """One value per user: entropy of the thinking clusters as a share of the most possible, and hits among ten."""

    entropy: Values
    recall: Values


@dataclass(frozen=True)
class Reference:
    """Relative quantisation errors of left-out items, and answers about held-out users."""

    left_out: Values
    answers: Answers

    def write(self, bundle: Workspace) -> None:
        told = {"left_out": self.left_out, "entropy": self.answers.entropy, "recall": self.answers.recall}
        write_json({name: values.round(5).tolist() for name, values in told.items()}, _figures(bundle))

    @staticmethod
    def read(bundle: Workspace) -> Reference:
        told = {name: np.array(values, dtype=np.float64) for name, values in read_json(_figures(bundle)).items()}
        return Reference(told["left_out"], Answers(told["entropy"], told["recall"]))


def write_reference(workspace: Workspace, params: Params, bundle: Workspace) -> None:
    """Write both files; ``workspace`` holds the artefacts that are published in ``bundle``."""
    write_log(workspace, params, bundle)
    answers = ask(Recommender.load(bundle, params), held_out(workspace, params.drift.days), params)
    Reference(as_if_new(workspace, params.runtime.seed), answers).write(bundle)


def write_log(workspace: Workspace, params: Params, bundle: Workspace) -> None:
    """Write ``drift/log.parquet``."""
    readable_artefact(workspace.events, ["user_id", "item_id", "timestamp", "position"])
    target = bundle.reference_log
    target.parent.mkdir(parents=True, exist_ok=True)
    with database(params.runtime, workspace.state) as connection:
        query = sql(__file__, "reference.sql").format(events=one_file(workspace.events))
        connection.execute(f"COPY ({query}) TO {literal(target)} (FORMAT parquet, COMPRESSION zstd)")


def held_out(workspace: Workspace, days: float | None) -> Since:
    """The users' last events, where the model did not learn from them: those of the newest ``days``, or all for None.

    Leave-one-out holds out events of any age, and a model that has learned what the others did after an old one
    answers better than it will about what is to come.
    """
    table = read_table(workspace.events, ["user_id", "item_id", "timestamp", "split"])
    users = pc.rank(table["user_id"], tiebreaker="dense").to_numpy().astype(np.int64)
    eligible = pc.not_equal(table["split"].cast(pa.string()), "train").to_numpy()
    found = last_events(users, table["item_id"].combine_chunks().cast(pa.string()), np.asarray(eligible))
    if days is None:
        return found
    times = table["timestamp"].cast(pa.int64()).to_numpy()
    ages = times.max() - times[found.targets]
    enough = np.sort(ages)[:_FEWEST].max(initial=0)
    return Since(found.users, found.item_ids, found.targets[ages <= max(days * _DAY, enough)])


def ask(recommender: Recommender, events: Since, params: Params) -> Answers:
    """Args: ``events``: the users' histories and targets, at most ``drift.cases`` of which are asked about."""
    settings = params.evaluation
    events = events.sample(params.drift.cases, params.runtime.seed)
    cases, _ = known_cases(events, recommender.item_ids, recommender.model.params.history)
    if not len(cases):
        return Answers(np.zeros(0), np.zeros(0))
    cases = cases.by_length()
    recall = hits(ranks(recommender, cases, K, settings.beams[0], settings.batch_size)[""], K)
    known = cases.take(np.flatnonzero(cases.targets >= 0))
    thinks = bool(aligned_levels(recommender.model))
    return Answers(cluster_entropy(recommender, known, settings.batch_size) if thinks else np.zeros(0), recall)


def quantisation_errors(codebook: ResidualCodebook, content: Matrix, fallback: Matrix | None) -> Values:
    """``‖z − ẑ‖² / ‖z‖²`` of each row: the share of its latent vector that its greedy codes leave over.

    Args:
        content: float32 ``[items, dim]``, in the place of the aligned embeddings: new items have no co-occurrence.
        fallback: ``[dim]``, the embedding of an item whose text says nothing to the content model: nothing of it is
            described, whatever the error of the stand-in.
    """
    latent = codebook.encode(content)
    codes = codebook.nearest(latent)
    found = sum((codebook.vectors[level][codes[:, level]] for level in range(codes.shape[1])), torch.zeros(()))
    left = (latent - found).square().sum(1).double() / latent.square().sum(1).double().clamp_min(1e-12)
    values: Values = left.numpy()
    return values if fallback is None else np.where((content == fallback).all(1), 1.0, values)


def fallback_of(workspace: Workspace) -> Matrix | None:
    """What stands for a text without a known term, if there is such a stand-in."""
    model = load_content_model(content_model(workspace))
    return None if model.tfidf is None else model.tfidf.fallback


def as_if_new(workspace: Workspace, seed: int) -> Values:
    """The errors that items of the catalogue have under codes that were learned without them.

    Items that the codebook was trained on say nothing about new ones: three levels of 256 codes leave hardly anything
    over of a thousand items they have seen. So the codes are learned again from four fifths of the catalogue.
    """
    item_ids, aligned = read_embeddings(workspace.aligned)
    content = read_embeddings(workspace.content)[1]
    codebook = load_codebook(workspace.codebook)
    order = np.random.default_rng(seed).permutation(len(item_ids))
    left_out, kept = np.split(order, [max(1, len(order) // _LEFT_OUT)])
    latent = codebook.encode(aligned[np.sort(kept[:_CLUSTERED])]).numpy()
    levels = residual_kmeans(latent, codebook.params.levels, codebook.params.codes, _ITERATIONS, seed)
    for level, (found, _) in enumerate(levels):
        codebook.vectors[level] = torch.from_numpy(found.centres)
    return quantisation_errors(codebook, content[np.sort(left_out[:_MOST])], fallback_of(workspace))


def _figures(bundle: Workspace) -> Path:
    return bundle.root / "drift/reference.json"
