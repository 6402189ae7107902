"""The mixture of the four sources, and the choice of its weights."""

import pytest
import torch

from s2gr.reasoner.decoding import Beam
from s2gr.reasoner.fusion import (
    Evidence,
    Weights,
    beam_probabilities,
    candidates,
    choose_weights,
    ndcg_sum,
)


def test_beam_becomes_a_distribution_that_is_zero_outside_it() -> None:
    beam = Beam(torch.tensor([[2, 0, -1]]), torch.tensor([[0.5, 0.25, 0.0]]).log())
    torch.testing.assert_close(beam_probabilities(beam, 4), torch.tensor([[0.25, 0.0, 0.5, 0.0]]))


def test_fused_score_is_the_weighted_sum() -> None:
    evidence = Evidence(*torch.tensor([[[1.0, 0.0]], [[0.5, 0.5]], [[0.0, 1.0]], [[0.25, 0.75]]]))
    torch.testing.assert_close(evidence.fused(Weights(0.5, 0.1, 0.2, 0.2)), torch.tensor([[0.6, 0.4]]))


def test_ndcg_counts_better_items_and_earlier_ties() -> None:
    scores = torch.tensor([[0.5, 0.9, 0.5, 0.5, 0.0]])
    found = [ndcg_sum(scores, torch.tensor([item])) for item in range(5)]
    assert found == pytest.approx([1 / torch.log2(torch.tensor(rank + 2.0)).item() for rank in (1, 0, 2, 3)] + [0])


def evidence_of(targets: torch.Tensor) -> Evidence:
    """v_g knows the targets, the other sources know nothing."""
    torch.manual_seed(0)
    right = torch.zeros(len(targets), 50).scatter_(1, targets[:, None], 1.0)
    noise = torch.rand(3, len(targets), 50).softmax(-1)
    return Evidence(noise[0], right, noise[1], noise[2])


def test_chooses_the_source_that_knows_the_targets() -> None:
    targets = torch.arange(40) % 50
    weights, score = choose_weights([candidates(evidence_of(targets), targets, None)])
    assert weights.interest > 0
    assert score == pytest.approx(1.0)


def test_candidates_rank_like_the_whole_catalogue() -> None:
    torch.manual_seed(1)
    targets = torch.randint(0, 50, (40,))
    evidence = Evidence(*torch.rand(4, 40, 50).softmax(-1))
    few = candidates(evidence, targets, None, top=25)
    for weights in (Weights(), Weights(0.2, 0.3, 0.1, 0.4)):
        fused = few.evidence.fused(weights)
        own = fused[:, :1]
        ranks = ((fused > own) | ((fused == own) & (few.items < targets[:, None]))).sum(1)
        gain = (1 / torch.log2(ranks[ranks < 10].double() + 2)).sum().item()
        assert gain == pytest.approx(ndcg_sum(evidence.fused(weights), targets))


def test_what_is_met_is_scaled_before_the_best_are_taken() -> None:
    torch.manual_seed(2)
    targets = torch.randint(0, 50, (40,))
    evidence = Evidence(*torch.rand(4, 40, 50).softmax(-1))
    met = torch.rand(40, 50) < 0.5
    few = candidates(evidence, targets, met, 0.25, top=25)
    scale = torch.where(met, 0.25, 1.0).gather(1, few.items)
    first = few.evidence.sid[:, 0]
    torch.testing.assert_close(first, evidence.sid.gather(1, targets[:, None])[:, 0] * scale[:, 0])
    best = (evidence.sid * torch.where(met, 0.25, 1.0)).max(1).values
    torch.testing.assert_close(few.evidence.sid.max(1).values, best)


def test_left_out_items_do_not_count_against_a_source() -> None:
    first, second = torch.tensor([[0.9, 0.1, 0.0]]), torch.tensor([[0.0, 0.4, 0.6]])
    excluded = torch.tensor([[True, False, False]])
    batch = candidates(Evidence(first, second, second, second), torch.tensor([1]), excluded)
    weights, score = choose_weights([batch])
    assert weights.sid > 0
    assert score == pytest.approx(1.0)
