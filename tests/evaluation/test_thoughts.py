from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from s2gr.cases import build_cases
from s2gr.evaluation.interventions import INTERVENTIONS, can_intervene, intervened, rank_intervened
from s2gr.evaluation.thoughts import Insight, Prediction, cluster_entropy, cluster_probabilities, observe
from s2gr.reasoner.decoding import item_log_probabilities
from s2gr.reasoner.recommender import Recommender
from s2gr.sequences import load_sequences

from .small import untrained, write_log


def recommender_of(tmp_path: Path, **settings: object) -> tuple[Recommender, object]:
    generator = np.random.default_rng(0)
    log = {f"u{user}": [f"i{item:02}" for item in generator.permutation(40)[: 5 + user % 4]] for user in range(9)}
    workspace = write_log(tmp_path, log | {"u99": [f"i{item:02}" for item in range(40)]})
    recommender = untrained(workspace, **settings)
    cases = build_cases(load_sequences(workspace.events, workspace.items), "test", 8)
    return recommender, cases


def test_reliability_bins_and_calibration_error_by_hand() -> None:
    prediction = Prediction(np.array([0.1, 0.15, 0.9, 0.92, 1.0]), np.array([0.0, 1.0, 1.0, 1.0, 0.0]))
    found = prediction.reliability()
    assert [(each.low, each.cases, each.accuracy) for each in found] == [
        (0.0, 1, 0.0),
        (0.1, 1, 1.0),
        (0.8, 1, 1.0),
        (0.9, 2, 0.5),
    ]
    assert prediction.accuracy == 0.6
    assert prediction.calibration_error() == pytest.approx((0.1 + 0.85 + 0.1 + 2 * 0.46) / 5)


def test_a_calibrated_prediction_has_a_small_error_and_an_overconfident_one_a_large() -> None:
    generator = np.random.default_rng(0)
    confidence = generator.random(50_000)
    right = (generator.random(50_000) < confidence).astype(float)
    assert Prediction(confidence, right).calibration_error() < 0.01
    assert Prediction(np.sqrt(confidence), right).calibration_error() > 0.1


def test_the_most_probable_items_codes_are_right_given_the_true_prefix(tmp_path: Path) -> None:
    recommender, cases = recommender_of(tmp_path)
    found = Insight.of_all(
        [observe(recommender, batch, recommender.encode(batch.histories, batch.lengths)) for batch in cases.batches(4)]
    )
    everything = torch.arange(40).expand(len(cases), -1)
    memory = recommender.encode(cases.histories, cases.lengths)
    with torch.no_grad():
        probabilities = item_log_probabilities(recommender.model, memory, recommender.constraint, everything).exp()
    codes = torch.from_numpy(recommender.sids.codes)
    for row, target in enumerate(cases.targets):
        inside = torch.ones(40, dtype=torch.bool)
        for level, prediction in enumerate(found.codes):
            # Of the items with the true codes so far: how probable each next code is.
            share = torch.zeros(4).index_add_(0, codes[inside, level], probabilities[row, inside])
            share = share / share.sum()
            assert prediction.confidence[row] == pytest.approx(float(share.max()), abs=1e-4)
            assert prediction.right[row] == float(int(share.argmax()) == int(codes[target, level]))
            inside &= codes[:, level] == codes[target, level]
    assert set(found.thoughts) == {0, 1, 2}


@pytest.mark.parametrize("intervention", INTERVENTIONS)
def test_an_intervention_changes_what_the_network_says_and_leaves_it_as_it_was(
    tmp_path: Path, intervention: str
) -> None:
    recommender, cases = recommender_of(tmp_path)

    def scores() -> np.ndarray:
        return recommender.rankings(cases.histories, cases.lengths, 40, 40)["beam"].scores

    before = scores()
    with intervened(recommender.model, intervention, 0):
        assert not np.allclose(scores(), before)
    assert np.array_equal(scores(), before)


def test_swapped_users_get_each_others_thoughts(tmp_path: Path) -> None:
    recommender, _ = recommender_of(tmp_path)
    model = recommender.model
    output = torch.randn(5, 2, 16)
    with torch.no_grad():
        own = model.think(output, 1)
        with intervened(model, "swapped", 0):
            assert torch.equal(model.think(output, 1), own.roll(1, 0))
        with intervened(model, "zeroed", 0):
            assert not model.think(output, 1).any()
        with intervened(model, "shuffled", 0):
            shuffled = model.think(output, 1)
    assert not torch.equal(shuffled, own)
    assert torch.equal(shuffled.sort(0).values, own.sort(0).values)


def test_the_lists_of_an_intervention_are_those_of_all_cases_in_order(tmp_path: Path) -> None:
    recommender, cases = recommender_of(tmp_path)
    found = [rank_intervened(recommender, cases, "zeroed", 5, 20, size, 0)["beam"] for size in (3, 99)]
    for suffix in ("", "_seen_filtered"):
        assert np.array_equal(found[0].lists[suffix], found[1].lists[suffix])


@pytest.mark.parametrize(("thinking", "possible"), [("none", False), ("pause", False), ("before", True)])
def test_only_thoughts_can_be_taken_away(tmp_path: Path, thinking: str, possible: bool) -> None:
    recommender, _ = recommender_of(tmp_path, thinking=thinking)
    assert can_intervene(recommender.model) == possible


def test_cluster_entropy_is_the_mean_over_levels_as_a_share_of_the_most_possible(tmp_path: Path) -> None:
    recommender, cases = recommender_of(tmp_path)
    found = cluster_entropy(recommender, cases, 4)
    memory = recommender.encode(cases.histories, cases.lengths)
    with torch.no_grad():
        thoughts = recommender.model.decode(memory, torch.from_numpy(cases.targets)[:, None]).thoughts[:, 0].detach()
        levels = cluster_probabilities(recommender.model, thoughts).values()
    for case in range(len(cases)):
        entropies = [-sum(float(p) * np.log(float(p)) for p in level[case]) / np.log(2) for level in levels]
        assert found[case] == pytest.approx(np.mean(entropies), abs=1e-6)
