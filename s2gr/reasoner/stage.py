"""Sequences and semantic IDs → a trained reasoner, its fusion weights chosen on validation."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from s2gr.cases import Cases, build_cases
from s2gr.codebook.loading import load_codebook
from s2gr.embeddings import Matrix, read_embeddings
from s2gr.errors import UserError
from s2gr.params import Params
from s2gr.reasoner.batches import packed_batches
from s2gr.reasoner.choosing import choose_fusion, choose_walks, targets_of
from s2gr.reasoner.decoding import beam_search
from s2gr.reasoner.fusion import Fusion, Weights, ndcg_sum
from s2gr.reasoner.model import S2GR, Catalogue
from s2gr.reasoner.objective import Objective
from s2gr.reasoner.recommender import BEAM, Recommender
from s2gr.runtime import start_fabric
from s2gr.sequences import load_sequences
from s2gr.sids.semantic_ids import read_sids
from s2gr.stage import Metrics
from s2gr.training import Plan, Row, fit, parameter_groups, warmup_cosine, write_curve
from s2gr.walk import WalkCounts
from s2gr.workspace import Workspace

# Batch of the validation after each epoch.
_USERS = 256


def run(params: Params, inputs: Workspace, outputs: Workspace) -> Metrics:
    """Train on the training split; ``reports/reasoner_curve.csv`` holds a line per epoch."""
    section = params.reasoner
    sequences = load_sequences(inputs.events, inputs.items)
    training = sequences.training()
    targets = int(np.maximum(np.diff(training.offsets) - 1, 0).sum())
    if targets == 0:
        raise UserError(f"{inputs.events}: no user has two training events; there is nothing to learn from")
    sids = read_sids(inputs.sids, sequences.item_ids)
    content = read_embeddings(inputs.content)[1] if section.content_embedding else None
    catalogue = build_catalogue(load_codebook(inputs.codebook).vectors, sids.codes, content, params)
    fabric = start_fabric(params.runtime)
    objective = Objective(S2GR(section, catalogue), section)
    cases = build_cases(sequences, "validation", section.history).sample(section.validation_users, params.runtime.seed)

    recommender = Recommender(objective.model, sids, WalkCounts.of(training), Fusion(), fabric.device)

    plan = Plan(
        description="reasoner",
        epochs=section.epochs,
        batches=lambda epoch: packed_batches(
            training, section.history, section.batch_size, params.runtime.seed * 1_000_003 + epoch
        ),
        validate=lambda: validate(recommender, cases),
        criterion="ndcg@10" if section.ranking == "fused" else "ndcg@10_beam",
        patience=section.patience,
        gradient_clip=section.gradient_clip,
        schedule=warmup_cosine(section.warmup),
    )
    optimizer = torch.optim.AdamW(
        parameter_groups(objective.named_parameters(), section.weight_decay), lr=section.learning_rate
    )
    digest = hashlib.sha256(f"{section.model_dump_json()}{params.runtime.effective()}".encode())
    known = [training.offsets, training.items, cases.histories, cases.targets, sids.codes, catalogue.centres.numpy()]
    if content is not None:
        known.append(content)
    for array in known:
        digest.update(np.ascontiguousarray(array).tobytes())
    checkpoint = inputs.unfinished("reasoner") / "checkpoint.safetensors"
    rows = fit(fabric, objective, optimizer, plan, checkpoint, digest.hexdigest())

    recommender.fusion = choose_walks(recommender, cases)
    scores: Row = {}
    if section.ranking == "fused":
        recommender.fusion, scores = choose_fusion(recommender, cases)
    recommender.save(outputs.reasoner)
    write_curve(rows, outputs.plot("reasoner_curve"))
    return {
        "parameters": sum(parameter.numel() for parameter in objective.parameters()),
        "targets": targets,
        "epochs": len(rows),
        "loss": round(rows[-1]["loss"], 6),
        "validation": {name: round(value, 6) for name, value in (validate(recommender, cases) | scores).items()},
        "fusion": recommender.fusion.as_dict(),
    }


def build_catalogue(vectors: Tensor, codes: np.ndarray, content: Matrix | None, params: Params) -> Catalogue:
    """The items' codes and content, and each level's code vectors ``[L, K, latent]`` clustered by k-means."""
    centres, clusters = [], []
    for level in vectors.numpy():
        # One thread: several add up their partial sums in no fixed order.
        with threadpool_limits(1):
            fitted = KMeans(params.reasoner.clusters, n_init=4, random_state=params.runtime.seed).fit(level)
        centres.append(torch.from_numpy(fitted.cluster_centers_.astype(np.float32)))
        clusters.append(torch.from_numpy(fitted.labels_.astype(np.int64)))
    known = None if content is None else torch.from_numpy(content.copy())
    return Catalogue(torch.from_numpy(codes), vectors.shape[1], torch.stack(centres), torch.stack(clusters), known)


@torch.no_grad()
def validate(recommender: Recommender, cases: Cases) -> Row:
    """Validation NDCG@10 of the network's two rankings, the SID beam and v_g, and of their equal mixture."""
    gains = {"ndcg@10": 0.0, "ndcg@10_beam": 0.0, "ndcg@10_interest": 0.0}
    for batch in cases.batches(_USERS):
        memory, targets = recommender.encode(batch.histories, batch.lengths), targets_of(recommender, batch)
        beam = beam_search(recommender.model, memory, recommender.constraint, BEAM)
        found = recommender.evidence(memory, beam, batch.histories, batch.lengths)
        gains["ndcg@10"] += ndcg_sum(found.fused(Weights(0.5, 0.5)), targets)
        gains["ndcg@10_beam"] += ndcg_sum(found.sid, targets)
        gains["ndcg@10_interest"] += ndcg_sum(found.interest, targets)
    return {name: gain / len(cases) for name, gain in gains.items()}
