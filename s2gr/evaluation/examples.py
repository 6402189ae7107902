"""A few real users: what they did, what the network thought at each level, and what it recommends."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from s2gr.cases import Cases
from s2gr.evaluation.ranking import Ranked
from s2gr.evaluation.thoughts import aligned_levels, cluster_probabilities
from s2gr.metrics import NOT_RANKED
from s2gr.reasoner.recommender import Recommender
from s2gr.sids.names import name_codes
from s2gr.workspace import Workspace, read_table

# Users shown, and how many of them have the target among their recommendations, if there are any such.
USERS = 5
_HITS = 2
_HISTORY = 6
_RECOMMENDED = 5
_CLUSTERS = 3


def examples(
    recommender: Recommender, inputs: Workspace, cases: Cases, ranked: Ranked, seed: int
) -> list[dict[str, Any]]:
    """Users drawn at random, some of those whose target was found and some of the others, unseen items alone.

    A thought is that of the path to the first recommendation: the clusters that it holds most probable, named by the
    words of their items.
    """
    rows = _drawn(ranked.ranks["_seen_filtered"] != NOT_RANKED, seed)
    chosen = cases.take(rows)
    lists = ranked.lists["_seen_filtered"][rows]
    table = read_table(inputs.items, ["title", "text"])
    titles = table["title"].to_pylist()
    user_ids = read_table(inputs.events, ["user_id"])["user_id"]
    thoughts = _thoughts(recommender, chosen, lists[:, 0], table["text"].to_pylist())
    return [
        {
            "user": str(user_ids[int(event)].as_py()),
            "history": [titles[item] for item in history[max(0, length - _HISTORY) : length]],
            "target": titles[target],
            "place": int(np.flatnonzero(recommended == target)[0]) + 1 if target in recommended else None,
            "recommended": [
                {"title": titles[item], "sid": "-".join(map(str, recommender.sids.codes[item])), "hit": item == target}
                for item in recommended[:_RECOMMENDED].tolist()
                if item >= 0
            ],
            "thoughts": thoughts[index],
        }
        for index, (event, history, length, target, recommended) in enumerate(
            zip(chosen.events, chosen.histories, chosen.lengths, chosen.targets.tolist(), lists, strict=True)
        )
    ]


def _drawn(hit: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.int64]:
    """Rows of the users to show: hits first, each group in random order."""
    order = np.random.default_rng(seed).permutation(len(hit))
    hits, misses = order[hit[order]], order[~hit[order]]
    few = hits[: max(_HITS, USERS - len(misses))]
    return np.concatenate([few, misses[: USERS - len(few)]])


@torch.no_grad()
def _thoughts(
    recommender: Recommender, cases: Cases, first: npt.NDArray[np.int64], texts: list[str]
) -> list[list[dict[str, Any]]]:
    """For each case and thinking level the most probable clusters, on the way to the item ``first``."""
    model = recommender.model
    if not aligned_levels(model):
        return [[] for _ in first]
    memory = recommender.encode(cases.histories, cases.lengths)
    decoded = model.decode(memory, torch.from_numpy(first).clamp_min(0).to(recommender.device)[:, None])
    assert decoded.thoughts is not None
    found: list[list[dict[str, Any]]] = [[] for _ in first]
    for level, probabilities in cluster_probabilities(model, decoded.thoughts[:, 0]).items():
        clusters = model.cluster[level].cpu().numpy()
        held = clusters[recommender.sids.codes[:, level]]
        names = [
            name or f"cluster {index}" for index, name in enumerate(name_codes(held, len(probabilities[0]), texts))
        ]
        values, best = probabilities.topk(min(_CLUSTERS, probabilities.shape[1]), dim=1)
        true = clusters[recommender.sids.codes[cases.targets, level]]
        for row, levels in enumerate(found):
            told = [
                {"name": names[cluster], "probability": round(value, 4), "of_target": cluster == int(true[row])}
                for cluster, value in zip(best[row].tolist(), values[row].tolist(), strict=True)
            ]
            levels.append({"level": level + 1, "clusters": told})
    return found
