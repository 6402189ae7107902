"""The quantiser against loops: greedy choice, balance, usage, revival."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.codebook.quantizer import ResidualQuantizer


@pytest.fixture
def quantizer() -> ResidualQuantizer:
    torch.manual_seed(0)
    return ResidualQuantizer(levels=3, codes=7, dim=4, balance=0.5, balance_clip=0.1)


def greedy(latent: torch.Tensor, vectors: torch.Tensor, factors: torch.Tensor) -> list[list[int]]:
    """The definition: at each level the code with the smallest scaled distance to what is left."""
    rows = []
    for row in latent.double():
        codes = []
        for level, level_vectors in enumerate(vectors.double()):
            distances = [
                float((row - vector).square().sum() * f)
                for vector, f in zip(level_vectors, factors[level], strict=True)
            ]
            codes.append(int(np.argmin(distances)))
            row = row - level_vectors[codes[-1]]
        rows.append(codes)
    return rows


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_codes_are_those_of_a_loop(seed: int, balanced: bool) -> None:
    torch.manual_seed(seed)
    quantizer = ResidualQuantizer(levels=3, codes=6, dim=3, balance=0.4, balance_clip=0.2)
    quantizer.usage.copy_(torch.rand(3, 6) * 3)
    latent = torch.randn(10, 3)
    factors = torch.stack([quantizer.balance_factor(level) for level in range(3)]) if balanced else torch.ones(3, 6)
    expected = greedy(latent, quantizer.vectors.detach(), factors)
    assert quantizer.choose(latent, balanced).tolist() == expected


def test_each_level_is_given_what_the_one_before_left_over(quantizer: ResidualQuantizer) -> None:
    latent = torch.randn(6, 4)
    codes, left = quantizer.trace(latent, balanced=False)
    residual = latent
    for level in range(3):
        residual = residual - quantizer.vectors[level][codes[:, level]]
        torch.testing.assert_close(left[level], residual)


def test_balancing_scales_the_distance_by_clipped_usage(quantizer: ResidualQuantizer) -> None:
    quantizer.usage[0] = torch.tensor([0.0, 0.9, 1.0, 1.1, 1.15, 3.0, 10.0])
    np.testing.assert_allclose(quantizer.balance_factor(0), [0.9, 0.95, 1.0, 1.05, 1.075, 1.1, 1.1], rtol=1e-6)


def test_a_weight_of_zero_switches_balancing_off() -> None:
    torch.manual_seed(1)
    quantizer = ResidualQuantizer(levels=2, codes=7, dim=4, balance=0.0, balance_clip=0.2)
    quantizer.usage[:] = torch.tensor([0.0, 10, 0, 10, 0, 10, 0])
    latent = torch.randn(50, 4)
    assert torch.equal(quantizer.choose(latent, balanced=True), quantizer.choose(latent, balanced=False))


def test_usage_moves_towards_the_batch_by_one_hundredth(quantizer: ResidualQuantizer) -> None:
    quantizer.count(torch.zeros(14, 3, dtype=torch.int64))
    # All 14 rows chose code 0: 7 times the mean usage.
    for level in range(3):
        np.testing.assert_allclose(quantizer.usage[level], [1 + 0.01 * 6] + [0.99] * 6, rtol=1e-6)
        assert quantizer.tally[level].tolist() == [14, 0, 0, 0, 0, 0, 0]


def test_codes_not_chosen_since_the_last_revival_are_put_onto_residuals(quantizer: ResidualQuantizer) -> None:
    quantizer.count(torch.tensor([[0, 1, 2], [3, 1, 2]]))
    before = quantizer.vectors.detach().clone()
    latent = torch.randn(20, 4)
    residuals = [latent, *quantizer.trace(latent, balanced=False)[1]]
    assert quantizer.revive(lambda: latent) == 5 + 6 + 6
    for level, alive in enumerate(({0, 3}, {1}, {2})):
        for code in range(7):
            vector = quantizer.vectors[level, code]
            if code in alive:
                assert torch.equal(vector, before[level, code])
            else:
                assert (vector == residuals[level]).all(1).any()
    assert int(quantizer.tally.sum()) == 0


def test_without_dead_codes_nothing_is_drawn(quantizer: ResidualQuantizer) -> None:
    quantizer.count(torch.arange(7)[:, None].expand(7, 3))
    before = quantizer.vectors.detach().clone()
    assert quantizer.revive(lambda: pytest.fail("no sample is needed")) == 0
    assert torch.equal(quantizer.vectors, before)


def test_more_dead_codes_than_rows_share_the_rows(quantizer: ResidualQuantizer) -> None:
    assert quantizer.revive(lambda: torch.ones(2, 4)) == 3 * 7
    assert torch.equal(quantizer.vectors[0], torch.ones(7, 4))
