"""How far the explanations can be trusted: what the evaluation measured when it took the thoughts away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2gr.workspace import Workspace, read_json

_TOLD = {"zeroed": "set to zero", "shuffled": "shuffled among users", "swapped": "swapped for another user's"}
# Without items already seen, as they are served unless somebody asks for these.
_SERVED = "s2gr_seen_filtered"
_RANKINGS = {_SERVED: "the ranking that is served", "s2gr_beam_seen_filtered": "the SID beam alone"}


@dataclass(frozen=True)
class Faithfulness:
    """In words, and the figures of ``reports/evaluation.json`` that they tell."""

    sentences: list[str]
    interventions: dict[str, Any]
    thoughts: dict[str, Any]


def faithfulness(bundle: Path) -> Faithfulness:
    """What the bundle's evaluation says about its thoughts."""
    report = read_json(Workspace(bundle).report("evaluation"))
    interventions, thoughts = report.get("interventions") or {}, report["network"]["thoughts"]
    accuracies = {
        level: {name: told[name] for name in ("accuracy", "calibration_error")} for level, told in thoughts.items()
    }
    return Faithfulness([*_of_interventions(interventions), *_of_thoughts(accuracies)], interventions, accuracies)


def _of_thoughts(thoughts: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not thoughts:
        return ["This model does not think before its codes, so there are no clusters to show."]
    shares = ", ".join(
        f"{told['accuracy']:.0%} on level {level.removeprefix('level_')}" for level, told in thoughts.items()
    )
    return [f"On held-out users the most probable cluster of a thought held the next item's code in {shares}."]


def _of_interventions(found: Mapping[str, Any]) -> list[str]:
    if not found:
        return ["Whether the thoughts matter was not measured for this model (`evaluation.control_users: 0`)."]
    metric, sentences = found["metric"].upper(), [_conclusion(found)]
    for name, told in _RANKINGS.items():
        if name in found:
            changes = "; ".join(
                f"{_TOLD[each]}: {change[found['metric']]:.4f}, {_verdict(change['untouched_is']['verdict'])}"
                for each, change in found[name].items()
                if each in _TOLD
            )
            sentences.append(
                f"{metric} of {told}, without items already seen, for {found['users']:,} held-out users is "
                f"{found[name]['untouched']:.4f} with the thoughts as they are. {changes[0].upper()}{changes[1:]}."
            )
    sentences.append("Attention says where the decoder looked; only “without it” is an effect.")
    return sentences


def _conclusion(found: Mapping[str, Any]) -> str:
    hurt = {
        name
        for name in _RANKINGS
        if any(found.get(name, {}).get(each, {}).get("untouched_is", {}).get("verdict") == "better" for each in _TOLD)
    }
    if _SERVED in hurt:
        return "Taking the thoughts away makes the served ranking worse: they are part of how it comes about."
    if hurt:
        return (
            "Taking the thoughts away makes the decoder's own ranking worse, but not measurably the one that is "
            "served, to which other sources add: the paths tell how the decoder decides, not why the list is as it is."
        )
    return (
        "Taking the thoughts away changes the rankings no more than chance does: read the paths as what the model "
        "expected, not as why it chose."
    )


def _verdict(of_untouched: str) -> str:
    """What a paired bootstrap says of the untouched network, said of the change."""
    return {"better": "which hurts", "worse": "which helps"}.get(of_untouched, "no more than chance")
