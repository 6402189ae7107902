"""How well S²GR ranks the item that came next, beside popularity and the graph walk: the test split, item level."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from s2gr.cases import Cases, build_cases
from s2gr.console import log, progress
from s2gr.evaluation.baselines import Popularity, RankPair, Scorer, rank_targets
from s2gr.evaluation.metrics import Ranks, gains, ranks_in_list, summarise
from s2gr.evaluation.significance import compare
from s2gr.params import Evaluation, Params
from s2gr.reasoner.recommender import Recommender
from s2gr.sequences import Sequences, load_sequences
from s2gr.stage import Metrics
from s2gr.walk import GraphWalk
from s2gr.workspace import Workspace, read_json, read_table, write_json

SPLIT = "test"
BASELINES = ("popularity", "walk", "walk_undirected")
# The paper reports the users with at least so many events.
LONG_HISTORY = 10

Advance = Callable[[int], None]
# Suffix of a system's name in the report → `filter` in ranking.csv.
FILTERS = {"": "none", "_seen_filtered": "seen"}


class Ranker(Protocol):
    """``Recommender.rankings``."""

    def rankings(
        self,
        histories: npt.NDArray[np.int64],
        lengths: npt.NDArray[np.int64],
        k: int,
        beam: int,
        exclude: list[npt.NDArray[np.int64]] | None = None,
    ) -> Mapping[str, Any]: ...


def run(params: Params, inputs: Workspace, outputs: Workspace) -> Metrics:
    """Rank every test target with every system; write ``reports/ranking.csv`` and the metrics."""
    settings = params.evaluation
    sequences = load_sequences(inputs.events, inputs.items)
    recommender = Recommender.load(inputs, params)
    trained = read_json(inputs.reasoner / "config.json")["reasoner"]
    cases = build_cases(sequences, SPLIT, trained["history"])
    walk = GraphWalk(sequences)
    scorers: dict[str, Scorer] = {
        "popularity": Popularity(sequences),
        "walk": walk,
        "walk_undirected": GraphWalk(sequences, "undirected"),
    }
    ranks: dict[str, RankPair] = {}
    with progress("evaluation", len(cases) * (2 * len(settings.beams) + len(scorers))) as tracker:
        for beam in settings.beams:
            for ranking, pair in rank_by_recommender(recommender, cases, settings, beam, tracker.advance).items():
                name = s2gr_name(settings.beams, beam, trained["ranking"], ranking)
                if name:
                    ranks[name] = pair
        for name, scorer in scorers.items():
            ranks[name] = rank_targets(scorer, cases, settings.batch_size, tracker.advance)
    results = {
        f"{name}{suffix}": summarise(of_filter, settings.ks)
        for name, pair in ranks.items()
        for suffix, of_filter in zip(FILTERS, (pair.everything, pair.unseen), strict=True)
    }
    write_ranking(results, ranks, settings.ks, outputs.plot("ranking"))
    write_json(headline(results, ranks, max(settings.ks)), outputs.headline)
    for name, summary in results.items():
        log.info("%s: %s", name, ", ".join(f"{metric} {value:.4f}" for metric, value in summary.items()))
    return {
        "protocol": _protocol(inputs, sequences, cases, settings, trained),
        **results,
        "significance": significance(ranks, settings, params.runtime.seed),
        "slices": slices(ranks, cases, walk, settings.ks),
    }


def s2gr_name(beams: Sequence[int], beam: int, own: str, ranking: str) -> str | None:
    """What the report calls a ranking: the first width is the primary, the paper's ranking stands beside ours."""
    if ranking != own:
        return "s2gr_beam" if beam == beams[0] else None
    return "s2gr" if beam == beams[0] else f"s2gr_width_{beam}"


def rank_by_recommender(
    recommender: Ranker, cases: Cases, settings: Evaluation, beam: int, advance: Advance
) -> dict[str, RankPair]:
    """For each ranking, the targets' places in its top ``max(ks)``, with and without the seen filter."""
    k = max(settings.ks)
    places: dict[str, tuple[list[Ranks], list[Ranks]]] = {}
    for batch in cases.batches(settings.batch_size):
        for filtered, exclude in enumerate((None, batch.seen())):
            found = recommender.rankings(batch.histories, batch.lengths, k, beam, exclude)
            for ranking, ranked in found.items():
                places.setdefault(ranking, ([], []))[filtered].append(ranks_in_list(ranked.items, batch.targets))
            advance(len(batch))
    return {ranking: RankPair(*map(np.concatenate, pair)) for ranking, pair in places.items()}


def significance(ranks: Mapping[str, RankPair], settings: Evaluation, seed: int) -> dict[str, Any]:
    """S²GR against each baseline on NDCG at the largest k: paired bootstrap over users."""
    k = max(settings.ks)
    compared: dict[str, Any] = {"metric": f"ndcg@{k}", "resamples": settings.bootstrap}
    for suffix in FILTERS:
        for baseline in BASELINES:
            pairs = (ranks["s2gr"], ranks[baseline])
            ours, theirs = (gains(pair.unseen if suffix else pair.everything, k) for pair in pairs)
            # The same resamples for each pair of systems.
            comparison = compare(ours, theirs, settings.bootstrap, np.random.default_rng(seed))
            compared[f"s2gr_vs_{baseline}{suffix}"] = {
                "difference": round(comparison.difference, 6),
                "low": round(comparison.low, 6),
                "high": round(comparison.high, 6),
                "verdict": comparison.verdict,
            }
    return compared


def slices(ranks: Mapping[str, RankPair], cases: Cases, walk: GraphWalk, ks: Sequence[int]) -> dict[str, Any]:
    """The systems on parts of the users, without the seen filter.

    ``memorised``: the step from the last item to the target occurred in training; ``generalised``: it did not.
    """
    last = cases.last_items
    memorised = (last >= 0) & (np.asarray(walk.counts[np.maximum(last, 0), cases.targets]).ravel() > 0)
    parts = {
        f"at_least_{LONG_HISTORY}_events": cases.interactions >= LONG_HISTORY,
        "memorised": memorised,
        "generalised": ~memorised,
    }
    return {
        name: {
            "users": int(part.sum()),
            **{system: summarise(ranks[system].everything[part], ks) for system in ("s2gr", *BASELINES) if part.any()},
        }
        for name, part in parts.items()
    }


def write_ranking(
    results: Mapping[str, Mapping[str, float]], systems: Iterable[str], ks: Sequence[int], path: Path
) -> None:
    """A row per system, filter and k, for plots."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["system", "filter", "k", "recall", "ndcg"])
        for system in systems:
            for suffix, filtered in FILTERS.items():
                summary = results[system + suffix]
                for k in ks:
                    writer.writerow(
                        [system, filtered, k, f"{summary[f'recall@{k}']:.6f}", f"{summary[f'ndcg@{k}']:.6f}"]
                    )


def headline(results: Mapping[str, Mapping[str, float]], systems: Iterable[str], k: int) -> dict[str, dict[str, float]]:
    """NDCG at the largest k, for each filter and system."""
    return {
        f"ndcg@{k}_{filtered}": {
            system: results[system + suffix][f"ndcg@{k}"] for system in systems if "_width_" not in system
        }
        for suffix, filtered in {"": "all", "_seen_filtered": "unseen"}.items()
    }


def _protocol(
    inputs: Workspace, sequences: Sequences, cases: Cases, settings: Evaluation, trained: Mapping[str, Any]
) -> dict[str, Any]:
    """What the figures are figures of."""
    timestamps = read_table(inputs.events, ["timestamp"])["timestamp"].to_numpy()
    targets = sequences.offsets[cases.users + 1] - 1
    return {
        "split": SPLIT,
        "scheme": "leave-one-out per user, full catalogue, item level, no sampled negatives",
        "history": trained["history"],
        "beam": settings.beams[0],
        "ranking": trained["ranking"],
        "filter": "none; `_seen_filtered` leaves out all items that the user met before",
        "users": len(cases),
        "items": sequences.n_items,
        # Their order within the timestamp is that of `events.ties`.
        "targets_tied_with_previous": round(float((timestamps[targets] == timestamps[targets - 1]).mean()), 6),
    }
