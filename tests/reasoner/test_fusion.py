"""The mixture of the three sources, and the choice of its weights."""

import pytest
import torch

from s2gr.reasoner.decoding import Beam
from s2gr.reasoner.fusion import Evidence, Weights, beam_probabilities, choose_weights, target_ranks


def test_beam_becomes_a_distribution_that_is_zero_outside_it() -> None:
    beam = Beam(torch.tensor([[2, 0, -1]]), torch.tensor([[0.5, 0.25, 0.0]]).log())
    torch.testing.assert_close(beam_probabilities(beam, 4), torch.tensor([[0.25, 0.0, 0.5, 0.0]]))


def test_fused_score_is_the_weighted_sum() -> None:
    evidence = Evidence(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 1.0]]))
    torch.testing.assert_close(evidence.fused(Weights(0.5, 0.3, 0.2)), torch.tensor([[0.65, 0.35]]))


def test_rank_counts_better_items_and_earlier_ties() -> None:
    scores = torch.tensor([[0.5, 0.9, 0.5, 0.5, 0.1]]).expand(3, -1)
    assert target_ranks(scores, torch.tensor([1, 2, 4])).tolist() == [0, 2, 4]


def test_chooses_the_source_that_knows_the_targets() -> None:
    torch.manual_seed(0)
    targets = torch.randint(0, 50, (40,))
    right = torch.zeros(40, 50).scatter_(1, targets[:, None], 1.0)
    noise = torch.rand(40, 50)
    noise = noise / noise.sum(1, keepdim=True)
    weights, score = choose_weights([(Evidence(noise, right, noise.flip(1)), targets)])
    assert weights.interest > 0
    assert score == pytest.approx(1.0)
