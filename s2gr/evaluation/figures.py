"""From ranks and lists to the figures of ``reports/evaluation.json``; every number is rounded to 6 digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from s2gr.cases import Cases
from s2gr.evaluation.exposure import exposure
from s2gr.evaluation.ranking import FILTERS, Ranked
from s2gr.evaluation.significance import compare_all
from s2gr.evaluation.thoughts import Insight, Prediction
from s2gr.metrics import gains, summarise
from s2gr.params import Evaluation

Systems = Mapping[str, Ranked]
# The suffixes of FILTERS in reports/metrics.json.
HEADLINE = {"": "all", "_seen_filtered": "unseen"}
# Not in it, so that `dvc metrics show` fits a screen; reports/evaluation.json has all.
_NO_HEADLINE = ("item_knn",)


def results(systems: Systems, ks: Sequence[int]) -> dict[str, dict[str, float]]:
    """Recall, NDCG and MRR of each system under each filter."""
    return {
        f"{name}{suffix}": summarise(system.ranks[suffix], ks) for name, system in systems.items() for suffix in FILTERS
    }


def headline(found: Mapping[str, Mapping[str, float]], systems: Systems, k: int) -> dict[str, dict[str, float]]:
    """NDCG at the largest k, for each filter and system."""
    return {
        f"ndcg@{k}_{HEADLINE[suffix]}": {
            system: found[system + suffix][f"ndcg@{k}"]
            for system in systems
            if "_width_" not in system and system not in _NO_HEADLINE
        }
        for suffix in FILTERS
    }


def significance(systems: Systems, baselines: Sequence[str], settings: Evaluation, seed: int) -> dict[str, Any]:
    """S²GR against each baseline on NDCG at the largest k: paired bootstrap over users."""
    k = max(settings.ks)
    compared: dict[str, Any] = {"metric": f"ndcg@{k}", "resamples": settings.bootstrap}
    for suffix in FILTERS:
        values = {name: gains(systems[name].ranks[suffix], k) for name in ("s2gr", *baselines)}
        generator = np.random.default_rng(seed)
        found = compare_all(values.pop("s2gr"), values, settings.bootstrap, generator)
        compared |= {f"s2gr_vs_{name}{suffix}": comparison.as_dict() for name, comparison in found.items()}
    return compared


def beyond_accuracy(systems: Systems, popularity: npt.NDArray[np.integer]) -> dict[str, dict[str, float]]:
    """Coverage, novelty and popularity bias of each system's lists, under each filter; none where all lists are empty.

    They are if everybody has met everything and that is left out.
    """
    return {
        f"{name}{suffix}": _rounded(asdict(exposure(system.lists[suffix], popularity)))
        for name, system in systems.items()
        for suffix in FILTERS
        if (system.lists[suffix] >= 0).any()
    }


def by_slice(systems: Systems, parts: Mapping[str, npt.NDArray[np.bool_]], ks: Sequence[int]) -> dict[str, Any]:
    """:func:`results` on each slice of the cases, with its number of users; an empty slice has nothing else."""
    return {
        name: {
            "users": int(part.sum()),
            **(results({system: ranked.take(np.flatnonzero(part)) for system, ranked in systems.items()}, ks)
               if part.any() else {}),
        }
        for name, part in parts.items()
    }  # fmt: skip


def network(found: Insight) -> dict[str, Any]:
    """Code accuracy, and accuracy and calibration of the thoughts, per level (from 1)."""
    return {
        "codes": {f"level_{level + 1}": _prediction(each) for level, each in enumerate(found.codes)},
        "thoughts": {f"level_{level + 1}": _prediction(each) for level, each in found.thoughts.items()},
    }


def interventions(
    systems: Systems,
    altered: Mapping[str, Mapping[str, Ranked]],
    cases: Cases,
    sample: Cases | None,
    settings: Evaluation,
    seed: int,
) -> dict[str, Any]:
    """NDCG with altered thoughts against the untouched network's, for the same users and each ranking."""
    if sample is None or not altered:
        return {}
    k = max(settings.ks)
    rows = np.flatnonzero(np.isin(cases.users, sample.users))
    found: dict[str, Any] = {"users": len(sample), "metric": f"ndcg@{k}"}
    for suffix in FILTERS:
        for ranking in next(iter(altered.values())):
            name = f"s2gr_{ranking}" if f"s2gr_{ranking}" in systems else "s2gr"
            untouched = gains(systems[name].ranks[suffix][rows], k)
            values = {each: gains(rankings[ranking].ranks[suffix], k) for each, rankings in altered.items()}
            compared = compare_all(untouched, values, settings.bootstrap, np.random.default_rng(seed))
            found[f"{name}{suffix}"] = {
                "untouched": round(float(untouched.mean()), 6),
                **{
                    each: {f"ndcg@{k}": round(float(values[each].mean()), 6), "untouched_is": comparison.as_dict()}
                    for each, comparison in compared.items()
                },
            }
    return found


def _prediction(prediction: Prediction) -> dict[str, Any]:
    return {
        "accuracy": round(prediction.accuracy, 6),
        "calibration_error": round(prediction.calibration_error(), 6),
        "reliability": [_rounded(asdict(each)) for each in prediction.reliability()],
    }


def _rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}
