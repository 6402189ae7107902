"""One packed pass is the same as one pass per prefix, in value and in gradient."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from s2gr.params import Reasoner
from s2gr.reasoner.batches import Batch, packed_batches
from s2gr.reasoner.model import S2GR
from s2gr.reasoner.objective import Objective
from s2gr.sequences import Sequences

from .reference import interest, step_by_step


@pytest.fixture
def sequences() -> Sequences:
    generator = np.random.default_rng(3)
    lengths = [2, 5, 13, 1, 7]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = generator.integers(0, 30, offsets[-1]).astype(np.int32)
    return Sequences([str(user) for user in range(5)], offsets, items, np.zeros(len(items), np.uint8), list("x" * 30))


def code_log_probabilities(model: S2GR, logits: list[torch.Tensor], target: int, level: int) -> dict[int, torch.Tensor]:
    """Of each code with which some item goes on from the target's codes before."""
    following = sorted(
        {int(row[level]) for row in model.codes if torch.equal(row[:level], model.codes[target, :level])}
    )
    return dict(zip(following, logits[level][following].log_softmax(0), strict=True))


def taught_codes(model: S2GR, wish: torch.Tensor, vectors: torch.Tensor, target: int, level: int) -> dict[int, float]:
    """What the interest vector says of the next code, once the target's codes before are given."""
    probabilities = (vectors @ wish).softmax(0).detach()
    mass: dict[int, float] = {}
    for item, row in enumerate(model.codes):
        if torch.equal(row[:level], model.codes[target, :level]):
            mass[int(row[level])] = mass.get(int(row[level]), 0.0) + float(probabilities[item])
    return {code: value / sum(mass.values()) for code, value in mass.items()}


def per_prefix_loss(model: S2GR, params: Reasoner, batch: Batch) -> torch.Tensor:
    """The loss written down once more, target by target."""
    total, wishes, aims = torch.zeros(()), [], []
    vectors = torch.stack([model.code_table[torch.arange(3), codes].mean(0) for codes in model.codes])
    if model.content_map is not None:
        vectors = vectors + model.content @ model.content_map.weight.T
    if model.item_table is not None:
        vectors = vectors + model.item_table
    for history, positions, targets in zip(batch.items, batch.position, batch.targets, strict=True):
        for position, target in zip(positions.tolist(), targets.tolist(), strict=True):
            if target < 0:
                continue
            known = history[: position + 1].tolist()
            logits, thoughts = step_by_step(model, known, target)
            wish = interest(model, known)
            loss = torch.zeros(())
            for level in range(model.levels):
                said = code_log_probabilities(model, logits, target, level)
                loss = loss - said[int(model.codes[target, level])]
                if params.distillation and level < model.levels - 1:
                    for code, share in taught_codes(model, wish, vectors, target, level).items():
                        loss = loss - params.distillation * share * said[code]
            thinking = [level for level, own in enumerate(thoughts) if own]
            if thinking:
                first = thoughts[thinking[0]][0]
                loss = loss + params.regulariser * (1 - functional.cosine_similarity(first, wish.detach(), dim=0))
                for row, level in enumerate(thinking):
                    last = thoughts[level][-1]
                    centres = [centre @ model.centre_map[row] for centre in model.centres[level]]
                    near = torch.stack([functional.cosine_similarity(last, centre, dim=0) for centre in centres])
                    cluster = model.cluster[level, model.codes[target, level]]
                    own = (near / params.alignment_temperature).log_softmax(0)[cluster]
                    loss = loss - params.alignment * own
            total, wishes, aims = total + loss, [*wishes, wish], [*aims, target]
    for wish, target in zip(wishes, aims, strict=True):
        if params.interest == "catalogue":
            log_probability = (vectors @ wish).log_softmax(0)[target]
        else:
            items = sorted(set(aims))
            near = torch.stack([functional.cosine_similarity(wish, vectors[item], dim=0) for item in items])
            # A negative counts as often as it is a target of the batch, the target itself once.
            often = torch.tensor([1.0 if item == target else aims.count(item) for item in items])
            near = near / params.interest_temperature
            log_probability = near[items.index(target)] - (often * near.exp()).sum().log()
        total = total - params.interest_weight * log_probability
    return total / len(aims)


def test_packed_loss_and_gradient_equal_those_of_each_prefix(model: S2GR, sequences: Sequences) -> None:
    params = model.params
    for batch in packed_batches(sequences, params.history, 8, seed=0)[:2]:
        model.zero_grad()
        packed = Objective(model, params)(batch)["loss"]
        packed.backward()
        gradients = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
        model.zero_grad()
        slow = per_prefix_loss(model, params, batch)
        slow.backward()
        torch.testing.assert_close(packed, slow, rtol=1e-4, atol=1e-4)
        for name, value in model.named_parameters():
            if value.grad is not None:
                torch.testing.assert_close(gradients[name], value.grad, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("history", [1, 2, 3, 6, 50])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_every_training_target_comes_once_per_epoch(sequences: Sequences, history: int, batch_size: int) -> None:
    found = []
    for batch in packed_batches(sequences, history, batch_size, seed=7):
        for items, positions, targets in zip(batch.items, batch.position, batch.targets, strict=True):
            known = items[items >= 0].tolist()
            assert len(known) <= history
            for position, target in zip(positions.tolist(), targets.tolist(), strict=True):
                if target >= 0:
                    found.append((known[: position + 1][-1], target))
    expected = []
    for user in range(sequences.n_users):
        own = sequences.items[sequences.offsets[user] : sequences.offsets[user + 1]].tolist()
        expected += list(itertools.pairwise(own))
    assert sorted(found) == sorted(expected)


def test_late_targets_have_half_a_window_of_history() -> None:
    items = np.arange(100, dtype=np.int32)
    long = Sequences(["u"], np.array([0, 100]), items, np.zeros(100, np.uint8), list("x" * 100))
    for batch in packed_batches(long, 6, 64, seed=1):
        for positions, targets in zip(batch.position, batch.targets, strict=True):
            for position, target in zip(positions.tolist(), targets.tolist(), strict=True):
                assert target < 0 or position + 1 >= min(target, 3)


def test_batches_differ_between_epochs_and_repeat_with_the_seed(sequences: Sequences) -> None:
    first, again, other = (packed_batches(sequences, 6, 8, seed) for seed in (0, 0, 1))
    assert all(
        torch.equal(a.items, b.items) and torch.equal(a.targets, b.targets) for a, b in zip(first, again, strict=True)
    )
    assert len(first) != len(other) or any(
        a.items.shape != b.items.shape or not torch.equal(a.items, b.items) for a, b in zip(first, other, strict=True)
    )
