"""Each warning comes when it applies, and says no more than what was measured."""

from __future__ import annotations

from typing import Any

import pytest

from s2gr.evaluation.caveats import caveats

PROTOCOL: dict[str, Any] = {
    "users": 5000,
    "targets_tied_with_previous": 0.0,
    "ties": "log",
    "training_after_target": 0.0,
    "targets_seen_before": 0.0,
    "targets_cold": 500,
    "k_core": 5,
    "targets_below_k_core": 0.0,
    "events_split": "leave-one-out",
    "factor_for_repeats": 1.0,
}


def told(interventions: dict[str, Any] | None = None, **protocol: Any) -> str:
    metrics = {
        "protocol": PROTOCOL | protocol,
        "significance": {"metric": "ndcg@10", "s2gr_vs_walk": {"verdict": "better"}},
        "interventions": interventions or {},
        "network": {"thoughts": {}},
    }
    return " ".join(caveats(metrics))


def altered(everything: str, unseen: str) -> dict[str, Any]:
    """What the untouched beam is against one with its thoughts zeroed, for each filter."""
    return {
        "users": 1000,
        "metric": "ndcg@10",
        "s2gr_beam": {"untouched": 0.05, "zeroed": {"untouched_is": {"verdict": everything}}},
        "s2gr_beam_seen_filtered": {"untouched": 0.05, "zeroed": {"untouched_is": {"verdict": unseen}}},
    }


def test_one_seed_is_always_told_and_nothing_else_without_a_reason() -> None:
    assert told().startswith("One trained model, one seed")
    assert len(told().split(". ")) == 2


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ({"users": 900}, "Only 900 users"),
        ({"targets_tied_with_previous": 0.44}, "44% of the targets share their timestamp"),
        ({"training_after_target": 0.3}, "30% of the training events"),
        ({"targets_seen_before": 0.05}, "5.0% of the targets are items that the user had met"),
        ({"targets_cold": 3}, "Only 3 targets never occurred"),
        ({"factor_for_repeats": 0.25}, "multiplies the scores of items in the history by 0.25"),
        ({"events_split": "temporal", "targets_below_k_core": 0.36}, "36% of the targets are items with fewer than 5"),
    ],
)
def test_what_the_protocol_gives_reason_for(protocol: dict[str, Any], words: str) -> None:
    assert words in told(**protocol)
    assert words not in told()


def test_the_core_of_a_log_split_by_user_is_no_reason() -> None:
    assert "core" not in told(targets_below_k_core=0.36)


@pytest.mark.parametrize("verdicts", [("can't tell", "better"), ("better", "can't tell"), ("better", "better")])
def test_thoughts_that_matter_under_one_filter_are_not_called_harmless(verdicts: tuple[str, str]) -> None:
    assert "Thoughts" not in told(altered(*verdicts))


def test_a_loss_that_was_not_seen_is_not_called_none() -> None:
    found = told(altered("can't tell", "can't tell"))
    assert "Thoughts zeroed: on 1,000 users the beam ranks no worse that could be told from chance" in found
    assert "can't be ruled out" in found
