"""Each loss term against a loop or a hand-computed value."""

import itertools
import math

import pytest
import torch

from s2gr.reasoner import losses
from s2gr.reasoner.batches import Batch
from s2gr.reasoner.decoding import Following
from s2gr.reasoner.model import S2GR
from s2gr.reasoner.objective import Objective


def following(probabilities: list[list[float]], own: list[int], child: list[list[int]] | None = None) -> Following:
    nodes = torch.tensor(child or [[0, 1]] * len(own))
    return Following(nodes, torch.tensor(probabilities).log(), torch.tensor(own))


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a @ b) / (a.norm() * b.norm()))


def test_recommendation_loss_sums_levels_and_averages_targets() -> None:
    first = following([[0.5, 0.5], [0.75, 0.25]], own=[0, 1])
    second = following([[1.0, 0.0], [0.25, 0.75]], own=[0, 0])
    expected = (math.log(2) + 0 + math.log(4) + math.log(4)) / 2
    assert losses.recommendation_loss([first, second]).item() == pytest.approx(expected, rel=1e-6)


def test_distillation_loss_sums_the_teacher_up_to_the_codes() -> None:
    # Items 0 and 1 lie under node 0, item 2 under node 1, item 3 under node 2, which does not follow the first target.
    first = following([[0.9, 0.1], [0.2, 0.8]], own=[0, 1], child=[[0, 1], [1, 2]])
    teacher = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.5, 0.5]])
    found = losses.distillation_loss([first, first], teacher, [torch.tensor([0, 0, 1, 2])])
    expected = -(0.5 * math.log(0.9) + 0.5 * math.log(0.1) + 0.5 * math.log(0.2) + 0.5 * math.log(0.8)) / 2
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_a_code_that_leads_to_no_item_of_the_sample_gets_nothing() -> None:
    # The sample holds items of node 0 only.
    first = following([[0.9, 0.1]], own=[0], child=[[0, 1]])
    found = losses.distillation_loss([first, first], torch.tensor([[0.4, 0.6]]), [torch.tensor([0, 0])])
    assert found.item() == pytest.approx(-math.log(0.9), rel=1e-6)


def test_distillation_moves_the_codes_and_not_the_teacher(model: S2GR) -> None:
    if not model.params.distillation:
        pytest.skip("this form is not taught")
    batch = Batch(torch.tensor([[3, 1, 4]]), torch.tensor([[1, 2]]), torch.tensor([[4, 9]]))
    Objective(model, model.params)(batch)["distillation"].backward()
    assert model.code_table.grad is not None
    # Nothing but v_g knows of the content, and it is not what is taught.
    assert model.content_map is not None
    assert model.content_map.weight.grad is None


def test_distillation_from_a_sample_comes_near_that_from_all(model: S2GR) -> None:
    if not model.params.distillation:
        pytest.skip("this form is not taught")
    batch = Batch(torch.tensor([[3, 1, 4]]), torch.tensor([[1, 2]]), torch.tensor([[4, 9]]))
    whole, some = (
        Objective(model, model.params.model_copy(update={"sampled_softmax": size}))(batch)["distillation"]
        for size in (0, 29)
    )
    torch.testing.assert_close(some, whole, rtol=0.1, atol=0.1)


def test_alignment_loss_equals_the_formula() -> None:
    torch.manual_seed(0)
    thoughts, centres, cluster = (
        torch.randn(4, 2, 5),
        torch.randn(2, 3, 5),
        torch.tensor([[0, 2], [1, 1], [2, 0], [0, 0]]),
    )
    total = 0.0
    for row in range(4):
        for level in range(2):
            near = [math.exp(cosine(thoughts[row, level], centre) / 0.1) for centre in centres[level]]
            total -= math.log(near[cluster[row, level]] / sum(near))
    near = torch.cosine_similarity(thoughts[:, :, None], centres, dim=-1)
    found = losses.alignment_loss(near / 0.1, cluster)
    assert found.item() == pytest.approx(total / 4, rel=1e-4)


def test_batch_interest_loss_equals_the_formula_and_spares_false_negatives() -> None:
    torch.manual_seed(1)
    interest, vectors, targets = torch.randn(4, 5), torch.randn(6, 5), torch.tensor([2, 0, 2, 5])
    total = 0.0
    for row in range(4):
        others = [column for column in range(4) if column == row or targets[column] != targets[row]]
        near = {column: math.exp(cosine(interest[row], vectors[targets[column]]) / 0.2) for column in others}
        total -= math.log(near[row] / sum(near.values()))
    found = losses.batch_interest_loss(interest, vectors[targets], targets, 0.2)
    assert found.item() == pytest.approx(total / 4, rel=1e-4)


def test_catalogue_interest_loss_equals_the_formula() -> None:
    torch.manual_seed(2)
    interest, vectors, targets = torch.randn(3, 5), torch.randn(6, 5), torch.tensor([2, 0, 5])
    total = 0.0
    for row in range(3):
        exponentials = [math.exp(float(interest[row] @ vector)) for vector in vectors]
        total -= math.log(exponentials[targets[row]] / sum(exponentials))
    assert losses.catalogue_interest_loss(interest @ vectors.T, targets).item() == pytest.approx(total / 3, rel=1e-4)


def test_sampled_interest_loss_is_exact_when_the_sample_is_the_catalogue() -> None:
    torch.manual_seed(3)
    interest, vectors, targets = torch.randn(4, 5), torch.randn(9, 5), torch.tensor([2, 0, 5, 2])
    sample = torch.randperm(9)
    found = losses.sampled_interest_loss(interest, vectors[targets], targets, sample, vectors[sample], 9)
    torch.testing.assert_close(found, losses.catalogue_interest_loss(interest @ vectors.T, targets))


def test_the_sampled_sum_under_the_softmax_is_unbiased() -> None:
    torch.manual_seed(4)
    interest, vectors, targets = torch.randn(1, 5), torch.randn(6, 5), torch.tensor([2])
    own = (interest @ vectors[2]).exp()
    sums = []
    # Every sample of three items is as likely as any other: their mean is the expectation.
    for chosen in itertools.combinations(range(6), 3):
        sample = torch.tensor(chosen)
        loss = losses.sampled_interest_loss(interest, vectors[targets], targets, sample, vectors[sample], 6)
        sums.append(own * loss.exp())
    whole = own * losses.catalogue_interest_loss(interest @ vectors.T, targets).exp()
    torch.testing.assert_close(torch.stack(sums).mean(), whole[0], rtol=1e-5, atol=1e-5)


def test_a_larger_catalogue_is_sampled_and_a_smaller_one_is_not(model: S2GR) -> None:
    batch = Batch(torch.tensor([[3, 1, 4]]), torch.tensor([[1, 2]]), torch.tensor([[4, 9]]))
    whole, all_30, some = (
        Objective(model, model.params.model_copy(update={"interest": "catalogue", "sampled_softmax": size}))
        for size in (0, 30, 29)
    )
    assert torch.equal(whole(batch)["interest"], all_30(batch)["interest"])
    torch.manual_seed(0)
    first = some(batch)["interest"]
    second = some(batch)["interest"]
    torch.manual_seed(0)
    assert torch.equal(some(batch)["interest"], first)
    assert first != second
    torch.testing.assert_close(first, whole(batch)["interest"], rtol=0.1, atol=0.1)


def test_regulariser_is_one_minus_cosine_and_moves_the_thought_alone() -> None:
    thought = torch.tensor([[1.0, 0.0], [1.0, 1.0]], requires_grad=True)
    interest = torch.tensor([[0.0, 2.0], [3.0, 3.0]], requires_grad=True)
    loss = losses.regulariser(thought, interest)
    assert loss.item() == pytest.approx((1 - 0 + 1 - 1) / 2, abs=1e-6)
    loss.backward()
    assert thought.grad is not None
    assert interest.grad is None
