"""Fast decoding = slow reference = exact scores of the whole catalogue."""

import numpy as np
import pytest
import torch

from s2gr.reasoner.decoding import Constraint, beam_search, item_log_probabilities
from s2gr.reasoner.model import S2GR, Memory
from s2gr.reasoner.trie import build_trie

from .reference import catalogue_log_probabilities

HISTORIES = [[3, 1, 4], [1, 5, 9, 2, 6, 5], [7]]


@pytest.fixture
def constraint(codes: np.ndarray) -> Constraint:
    return Constraint.of(build_trie(codes), torch.device("cpu"))


_EXACT: dict[str, torch.Tensor] = {}


@pytest.fixture
def exact(request: pytest.FixtureRequest, model: S2GR) -> torch.Tensor:
    """``[histories, items]`` by the slow reference, which takes its time: once for each way of thinking."""
    thinking = request.node.callspec.params["model"]
    if thinking not in _EXACT:
        with torch.no_grad():
            _EXACT[thinking] = torch.stack([catalogue_log_probabilities(model, history) for history in HISTORIES])
    return _EXACT[thinking]


def memory_of(model: S2GR) -> Memory:
    width = max(map(len, HISTORIES))
    items = torch.tensor([history + [-1] * (width - len(history)) for history in HISTORIES])
    return model.encode(items, torch.tensor([[len(history) - 1] for history in HISTORIES]))


def test_a_wide_beam_finds_the_exact_order_of_the_catalogue(
    model: S2GR, constraint: Constraint, exact: torch.Tensor
) -> None:
    beam = beam_search(model, memory_of(model), constraint, width=30)
    order = exact.sort(dim=1, descending=True)
    torch.testing.assert_close(beam.scores, order.values, rtol=1e-4, atol=1e-4)
    assert torch.equal(beam.items, order.indices)


def test_equally_probable_items_go_by_their_rows(model: S2GR) -> None:
    # Against the order of the codes, all of which are as probable as the others.
    codes = np.array([[0, 0, 3], [0, 0, 1], [0, 0, 2], [1, 0, 0]])
    with torch.no_grad():
        model.code_table.zero_()
    trie = Constraint.of(build_trie(codes), torch.device("cpu"))
    beam = beam_search(model, memory_of(model), trie, width=4)
    assert beam.items[:, :1].tolist() == [[3]] * len(HISTORIES)
    assert beam.items[:, 1:].tolist() == [[0, 1, 2]] * len(HISTORIES)


def test_a_narrow_beam_gives_each_found_item_its_exact_score(
    model: S2GR, constraint: Constraint, exact: torch.Tensor
) -> None:
    beam = beam_search(model, memory_of(model), constraint, width=5)
    torch.testing.assert_close(beam.scores, exact.gather(1, beam.items), rtol=1e-4, atol=1e-4)
    assert (beam.scores.diff(dim=1) <= 0).all()


def test_exact_scoring_equals_the_reference_and_sums_to_one(
    model: S2GR, constraint: Constraint, exact: torch.Tensor
) -> None:
    every = torch.arange(30).expand(len(HISTORIES), -1)
    scores = item_log_probabilities(model, memory_of(model), constraint, every)
    torch.testing.assert_close(scores, exact, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scores.exp().sum(1), torch.ones(len(HISTORIES)), rtol=1e-4, atol=1e-4)


def test_excluded_items_are_not_found_and_the_beam_stays_full(
    model: S2GR, constraint: Constraint, exact: torch.Tensor
) -> None:
    excluded = torch.zeros(len(HISTORIES), 30, dtype=torch.bool)
    best = exact.argsort(dim=1, descending=True)
    excluded.scatter_(1, best[:, :3], True)
    beam = beam_search(model, memory_of(model), constraint, width=30, excluded=excluded)
    assert torch.equal(beam.items[:, :27], best[:, 3:])
    assert (beam.items[:, 27:] == -1).all()


def test_users_of_a_batch_do_not_affect_one_another(model: S2GR, constraint: Constraint) -> None:
    together = beam_search(model, memory_of(model), constraint, width=10)
    for row, history in enumerate(HISTORIES):
        memory = model.encode(torch.tensor([history]), torch.tensor([[len(history) - 1]]))
        alone = beam_search(model, memory, constraint, width=10)
        assert torch.equal(alone.items[0], together.items[row])
        torch.testing.assert_close(alone.scores[0], together.scores[row], rtol=1e-4, atol=1e-4)
