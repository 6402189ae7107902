"""Beams under filters of items: full, exact, and independent of one another."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.params import Reasoner
from s2gr.reasoner.decoding import Constraint, beam_search, beam_searches, item_log_probabilities
from s2gr.reasoner.model import S2GR, Catalogue, Memory
from s2gr.reasoner.trie import build_trie

SIZE, USERS = 4, 3


def random_model(seed: int, items: int) -> tuple[S2GR, Constraint]:
    generator = np.random.default_rng(seed)
    every = np.array(list(np.ndindex(SIZE, SIZE, SIZE)))
    codes = every[generator.choice(len(every), items, replace=False)]
    torch.manual_seed(seed)
    params = Reasoner(dim=8, heads=2, feed_forward=8, encoder_layers=1, clusters=2, dropout=0.0)
    catalogue = Catalogue(torch.from_numpy(codes), SIZE, torch.randn(3, 2, 4), torch.zeros(3, SIZE, dtype=torch.int64))
    return S2GR(params, catalogue).eval(), Constraint.of(build_trie(codes), torch.device("cpu"))


def memory_of(model: S2GR, items: int) -> Memory:
    histories = torch.randint(0, items, (USERS, 4), generator=torch.Generator().manual_seed(items))
    return model.encode(histories, torch.full((USERS, 1), 3))


filters = st.tuples(
    st.integers(0, 10**6), st.integers(2, 64), st.sampled_from([0.1, 0.5, 0.9]), st.booleans(), st.integers(1, 70)
)


def masks(seed: int, items: int, share: float, for_all: bool) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1 if for_all else USERS, items, generator=generator) < share


@settings(max_examples=40, deadline=None)
@given(filters)
@torch.no_grad()
def test_a_beam_is_full_while_items_are_left_and_holds_exact_scores(case: tuple[int, int, float, bool, int]) -> None:
    seed, items, share, for_all, width = case
    model, constraint = random_model(seed, items)
    memory, excluded = memory_of(model, items), masks(seed, items, share, for_all).expand(USERS, -1)
    exact = item_log_probabilities(model, memory, constraint, torch.arange(items).expand(USERS, -1))
    beam = beam_search(model, memory, constraint, width, masks(seed, items, share, for_all))
    assert beam.items.shape == (USERS, width)
    for user in range(USERS):
        found = beam.items[user][beam.items[user] >= 0]
        allowed = (~excluded[user]).sum().item()
        assert len(found) == len(found.unique()) == min(width, allowed)
        assert not excluded[user, found].any()
        torch.testing.assert_close(beam.scores[user, : len(found)], exact[user, found], rtol=1e-4, atol=1e-4)
        assert (beam.scores[user, len(found) :] == -torch.inf).all()
        if width >= items:
            best = exact[user].masked_fill(excluded[user], -torch.inf).sort(descending=True).values
            torch.testing.assert_close(beam.scores[user, :items], best, rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(filters)
@torch.no_grad()
def test_several_filters_at_once_equal_a_search_for_each(case: tuple[int, int, float, bool, int]) -> None:
    seed, items, share, for_all, width = case
    model, constraint = random_model(seed, items)
    memory = memory_of(model, items)
    several = [None, masks(seed, items, share, for_all), masks(seed + 1, items, 0.5, False)]
    together = beam_searches(model, memory, constraint, width, several)
    for excluded, beam in zip(several, together, strict=True):
        alone = beam_search(model, memory, constraint, width, excluded)
        torch.testing.assert_close(beam.scores, alone.scores, rtol=1e-4, atol=1e-4)
        assert torch.equal(beam.items, alone.items)


@torch.no_grad()
def test_out_of_stock_prefixes_take_no_place_in_a_narrow_beam() -> None:
    """Once: every item of the most probable first code is gone; a beam of one must still find an item."""
    model, constraint = random_model(0, 40)
    memory = memory_of(model, 40)
    best = model.codes[beam_search(model, memory, constraint, 1).items[:, 0], 0]
    gone = model.codes[:, 0] == best[:, None]
    found = beam_search(model, memory, constraint, 1, gone).items[:, 0]
    assert (found >= 0).all()
    assert not gone.gather(1, found[:, None]).any()
