"""How well S²GR ranks the item that came next, beside baselines without training: the test split, item level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from s2gr.cases import Cases, build_cases
from s2gr.console import log, progress
from s2gr.evaluation import figures, tables
from s2gr.evaluation.baselines import ItemKNN, Popularity
from s2gr.evaluation.budget import inference_flops
from s2gr.evaluation.caveats import caveats
from s2gr.evaluation.examples import examples
from s2gr.evaluation.interventions import INTERVENTIONS, can_intervene, rank_intervened
from s2gr.evaluation.protocol import basis, describe_protocol
from s2gr.evaluation.ranking import FILTERS, Lists, Ranked, ranked, top_lists
from s2gr.evaluation.report import PAGE, render
from s2gr.evaluation.slices import slices
from s2gr.evaluation.thoughts import Insight, observe
from s2gr.params import Params
from s2gr.reasoner.recommender import Recommender
from s2gr.runtime import side_by_side
from s2gr.sequences import Sequences, load_sequences
from s2gr.stage import Metrics
from s2gr.workspace import Workspace, write_json

SPLIT = "test"
BASELINES = ("popularity", "walk", "walk_undirected", "item_knn")

Advance = Callable[[int], None]


def run(params: Params, inputs: Workspace, outputs: Workspace) -> Metrics:
    """Rank every test target with every system; write the tables, the page and the metrics."""
    settings, seed = params.evaluation, params.runtime.seed
    sequences = load_sequences(inputs.events, inputs.items)
    recommender = Recommender.load(inputs, params)
    trained = recommender.model.params
    cases = build_cases(sequences, SPLIT, trained.history).by_length()
    popularity = np.bincount(sequences.training().items, minlength=sequences.n_items)
    sample = cases.sample(settings.control_users, seed) if settings.control_users else None
    controls = INTERVENTIONS if sample is not None and can_intervene(recommender.model) else ()
    with progress("evaluation", len(cases) * len(settings.beams) + len(sample or ()) * len(controls)) as tracker:
        systems, insight = rank_all(recommender, sequences, popularity, cases, params, tracker.advance)
        altered = {}
        for intervention in controls:
            assert sample is not None
            arguments = (max(settings.ks), settings.beams[0], settings.batch_size, seed)
            altered[intervention] = rank_intervened(recommender, sample, intervention, *arguments)
            tracker.advance(len(sample))
    parts = slices(cases, recommender.walk.counts, popularity)
    results = figures.results(systems, settings.ks)
    repeats = recommender.fusion.repeats if trained.ranking == "fused" else 1.0
    metrics: dict[str, Any] = {
        "protocol": describe_protocol(inputs.events, sequences, cases, popularity, settings, trained, repeats),
        **results,
        "significance": figures.significance(systems, BASELINES, settings, seed),
        "beyond_accuracy": figures.beyond_accuracy(systems, popularity),
        "slices": figures.by_slice(systems, parts, settings.ks),
        "network": figures.network(insight),
        "interventions": figures.interventions(systems, altered, cases, sample, settings, seed),
        "fusion": recommender.fusion.as_dict() if trained.ranking == "fused" else None,
        "budget": {
            "parameters": sum(parameter.numel() for parameter in recommender.model.parameters()),
            "inference_mflops_per_user": round(inference_flops(recommender, cases, settings.beams[0]) / 1e6, 3),
        },
        "examples": examples(recommender, inputs, cases, systems["s2gr"], seed),
        "basis": basis(inputs),
    }
    metrics["warnings"] = caveats(metrics)
    tables.write_ranking(results, systems, settings.ks, outputs.plot("ranking"))
    tables.write_slices(metrics["slices"], max(settings.ks), outputs.plot("slices"))
    tables.write_calibration(metrics["network"], outputs.plot("calibration"))
    tables.write_ranks(systems, cases, sequences.user_ids, outputs.ranks)
    write_json(figures.headline(results, systems, max(settings.ks)), outputs.headline)
    (outputs.root / PAGE).write_text(render(metrics), encoding="utf-8")
    for name, summary in results.items():
        log.info("%s: %s", name, ", ".join(f"{metric} {value:.4f}" for metric, value in summary.items()))
    return metrics


def rank_all(
    recommender: Recommender,
    sequences: Sequences,
    popularity: np.ndarray,
    cases: Cases,
    params: Params,
    advance: Advance,
) -> tuple[dict[str, Ranked], Insight]:
    """What S²GR and the baselines recommend; each batch is encoded once, and its walks are computed once."""
    settings = params.evaluation
    k = max(settings.ks)
    popular, neighbours = Popularity(popularity), ItemKNN(sequences)

    def of_batch(batch: Cases) -> tuple[dict[str, Lists], Insight]:
        found: dict[str, Lists] = {}
        seen = recommender.excluded(batch.seen())
        memory = recommender.encode(batch.histories, batch.lengths)
        walks = recommender.walk_scores(batch.histories, batch.lengths)
        for beam in settings.beams:
            pair = recommender.rankings_under([None, seen], batch.histories, batch.lengths, k, beam, memory, walks)
            for ranking in pair[0]:
                name = s2gr_name(settings.beams, beam, recommender.model.params.ranking, ranking)
                if name:
                    lists = [rankings[ranking].items for rankings in pair]
                    found[name] = dict(zip(FILTERS, lists, strict=True))
        seen = seen.cpu()
        neighbour_scores = neighbours.scores(batch.histories, batch.lengths)
        scores = {"walk": walks.directed, "walk_undirected": walks.undirected, "item_knn": neighbour_scores}
        found["popularity"] = popular.lists(seen, k)
        found |= {name: top_lists(of_all, seen, k) for name, of_all in scores.items()}
        return found, observe(recommender, batch, memory)

    parts = []
    room = recommender.bytes_for(settings.batch_size)
    for part in side_by_side(of_batch, cases.batches(settings.batch_size), recommender.device, params.runtime, room):
        parts.append(part)
        advance(len(part[0]["popularity"][""]) * len(settings.beams))
    names = parts[0][0]
    systems = {name: ranked([lists[name] for lists, _ in parts], cases.targets) for name in names}
    return systems, Insight.of_all([insight for _, insight in parts])


def s2gr_name(beams: list[int], beam: int, own: str, ranking: str) -> str | None:
    """What the report calls a ranking: the first width is the primary; the network's two stand beside the fused one."""
    if ranking != own:
        return f"s2gr_{ranking}" if beam == beams[0] else None
    return "s2gr" if beam == beams[0] else f"s2gr_width_{beam}"
