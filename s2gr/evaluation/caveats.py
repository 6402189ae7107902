"""What a reader has to know before believing the figures: the warnings that apply to this run, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from s2gr.evaluation.labels import label
from s2gr.evaluation.ranking import FILTERS

# A sample whose NDCG has a larger relative standard error than about this says little.
_FEW_USERS = 2000
_FEW_COLD = 100
_TIED = 0.1
_FUTURE = 0.05
_REPEATED = 0.02
_BELOW = 0.05
_MISCALIBRATED = 0.1


def caveats(metrics: Mapping[str, Any]) -> list[str]:
    """One sentence each, the most general first."""
    return [*_of_protocol(metrics["protocol"]), *_of_systems(metrics), *_of_network(metrics)]


def _of_protocol(protocol: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "One trained model, one seed: another seed moves Recall@10 by some 4 % of its value. The verdicts below are "
        "about these users and this model, not about the method; that takes several values of `runtime.seed`."
    )
    users = protocol["users"]
    if users < _FEW_USERS:
        yield (
            f"Only {users:,} users: a recall of .10 has a standard error of {math.sqrt(0.09 / users):.3f}, so small "
            "differences mean nothing here."
        )
    tied = protocol["targets_tied_with_previous"]
    if tied > _TIED:
        yield (
            f"{tied:.0%} of the targets share their timestamp with the event before; which came first is decided "
            f"{'by the log’s rows' if protocol['ties'] == 'log' else 'at random'} (events.ties: {protocol['ties']}). "
            "Shuffled ties can move Recall@10 by several per cent of its value."
        )
    future = protocol["training_after_target"]
    if future > _FUTURE:
        yield (
            f"Leave-one-out lets training see the future: on average {future:.0%} of the training events happened "
            "after the target. Under `events.split: temporal` it learns from nothing after the cut."
        )
    core, below = protocol["k_core"], protocol["targets_below_k_core"]
    if protocol["events_split"] == "temporal" and below > _BELOW:
        yield (
            f"The {core}-core was taken over the whole log: {below:.0%} of the targets are items with fewer than "
            f"{core} events before the cut, which are there only because of what came after it."
        )
    if protocol["factor_for_repeats"] < 1:
        yield (
            "Over the whole catalogue S²GR multiplies the scores of items in the history by "
            f"{protocol['factor_for_repeats']:g}, as validation chose; the baselines do nothing of the kind. The fair "
            "comparison is the one without items already seen."
        )
    repeated = protocol["targets_seen_before"]
    if repeated > _REPEATED:
        yield f"{repeated:.1%} of the targets are items that the user had met before; the seen filter can't find them."
    cold = protocol["targets_cold"]
    if cold < _FEW_COLD:
        told = f"Only {cold} targets never occurred" if cold else "No target is an item that never occurred"
        yield f"{told} in training: cold start can't be judged here."


def _of_systems(metrics: Mapping[str, Any]) -> Iterator[str]:
    compared = metrics["significance"]
    for suffix, told in (("", "over the whole catalogue"), ("_seen_filtered", "without seen items")):
        verdicts = {
            label(name.removeprefix("s2gr_vs_").removesuffix(suffix)): found["verdict"]
            for name, found in compared.items()
            if name.startswith("s2gr_vs_") and name.endswith("_seen_filtered") == bool(suffix)
        }
        worse = [name for name, verdict in verdicts.items() if verdict == "worse"]
        undecided = [name for name, verdict in verdicts.items() if verdict == "can't tell"]
        if worse:
            yield f"S²GR ranks worse than {' and '.join(worse)} {told}."
        if undecided:
            yield f"S²GR can't be told from {' and '.join(undecided)} {told}."
    beam, metric = metrics.get("s2gr_beam"), compared["metric"]
    if beam and beam[metric] < metrics["walk"][metric]:
        yield (
            "The generative model alone (SID beam) ranks below the training-free walk: the fused ranking owes much to "
            f"its other sources. Weights over the whole catalogue: {_weights(metrics['fusion']['everything'])}."
        )


def _of_network(metrics: Mapping[str, Any]) -> Iterator[str]:
    tried = {name: found for name, found in metrics["interventions"].items() if isinstance(found, dict)}
    if tried:
        alone = "s2gr_beam" if "s2gr_beam" in tried else "s2gr"
        verdicts = {
            each: {tried[alone + suffix][each]["untouched_is"]["verdict"] for suffix in FILTERS}
            for each in tried[alone]
            if each != "untouched"
        }
        harmless = [each for each, found in verdicts.items() if "better" not in found]
        if harmless:
            yield (
                f"Thoughts {' or '.join(harmless)}: on {metrics['interventions']['users']:,} users the beam ranks no "
                "worse that could be told from chance, with or without seen items. A small loss can't be ruled out."
            )
    for level, found in metrics["network"]["thoughts"].items():
        if found["calibration_error"] > _MISCALIBRATED:
            yield (
                f"The thought of level {level.removeprefix('level_')} is not calibrated (expected calibration error "
                f"{found['calibration_error']:.2f}): its probabilities are no frequencies."
            )


def _weights(weights: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in weights.items())
