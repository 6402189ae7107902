"""The quantiser's formulas against brute force."""

import numpy as np
import pytest
import torch

from s2gr.codebook.quantizer import (
    ResidualQuantizer,
    commitment_loss,
    squared_distances,
    uniformity_loss,
)


@pytest.fixture
def quantizer() -> ResidualQuantizer:
    torch.manual_seed(0)
    return ResidualQuantizer(levels=3, codes=7, dim=4, balance=0.5, balance_clip=0.1)


def test_squared_distances_equal_those_of_a_loop() -> None:
    torch.manual_seed(1)
    rows, vectors = torch.randn(5, 3), torch.randn(4, 3)
    expected = [[float(((row - vector) ** 2).sum()) for vector in vectors] for row in rows]
    np.testing.assert_allclose(squared_distances(rows, vectors), expected, rtol=1e-4, atol=1e-5)


def test_quantises_greedily_level_by_level(quantizer: ResidualQuantizer) -> None:
    latent = torch.randn(6, 4)
    quantized = quantizer(latent, balanced=False)
    for row in range(6):
        residual = latent[row]
        for level in range(3):
            distances = [(residual - vector).square().sum().item() for vector in quantizer.vectors[level]]
            assert int(np.argmin(distances)) == quantized.codes[row, level]
            torch.testing.assert_close(quantized.residuals[row, level], residual)
            residual = residual - quantizer.vectors[level][quantized.codes[row, level]]


def test_balancing_scales_the_distance_by_clipped_usage(quantizer: ResidualQuantizer) -> None:
    quantizer.usage[0] = torch.tensor([0.0, 0.9, 1.0, 1.1, 1.15, 3.0, 10.0])
    expected = [0.9, 0.95, 1.0, 1.05, 1.075, 1.1, 1.1]
    np.testing.assert_allclose(quantizer.balance_factor(0), expected, rtol=1e-6)
    residual = torch.randn(50, 4)
    scaled = squared_distances(residual, quantizer.vectors[0]) * torch.tensor(expected)
    assert torch.equal(quantizer.nearest(residual, 0, balanced=True), scaled.argmin(1))


def test_balancing_is_off_unless_asked_for(quantizer: ResidualQuantizer) -> None:
    quantizer.usage[0] = torch.tensor([0.0, 10, 0, 10, 0, 10, 0])
    residual = torch.randn(50, 4)
    plain = squared_distances(residual, quantizer.vectors[0]).argmin(1)
    assert torch.equal(quantizer.nearest(residual, 0, balanced=False), plain)


def test_usage_moves_towards_the_batch_by_one_hundredth(quantizer: ResidualQuantizer) -> None:
    codes = torch.zeros(14, 3, dtype=torch.int64)
    quantizer.count(codes)
    # All 14 rows chose code 0: 7 times the mean usage.
    np.testing.assert_allclose(quantizer.usage[0], [1 + 0.01 * 6] + [0.99] * 6, rtol=1e-6)


def test_commitment_terms_equal_hand_computed_values_and_move_the_right_side() -> None:
    quantizer = ResidualQuantizer(levels=2, codes=1, dim=2, balance=0, balance_clip=0)
    with torch.no_grad():
        quantizer.vectors.copy_(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]))
    latent = torch.tensor([[2.0, 3.0]], requires_grad=True)
    codebook, encoder = commitment_loss(quantizer(latent, balanced=False), commitment=0.25)
    # Level 1: (2,3) − (1,0) = (1,3): 10. Level 2: (1,3) − (0,1) = (1,2): 5.
    assert codebook.item() == pytest.approx(15)
    assert encoder.item() == pytest.approx(0.25 * 15)
    codebook.backward(retain_graph=True)
    assert latent.grad is None
    assert quantizer.vectors.grad is not None
    np.testing.assert_allclose(quantizer.vectors.grad.reshape(2, 2), [[-2, -6], [-2, -4]])
    quantizer.vectors.grad = None
    encoder.backward()
    assert quantizer.vectors.grad is None
    np.testing.assert_allclose(latent.grad, [[0.25 * 2 * (1 + 1), 0.25 * 2 * (3 + 2)]])


def test_uniformity_equals_the_double_sum_over_pairs() -> None:
    torch.manual_seed(2)
    vectors = torch.randn(2, 6, 3)
    levels = []
    for level in vectors:
        distances = [float((a - b).norm()) for i, a in enumerate(level) for b in level[i + 1 :]]
        delta = 0.9 * sorted(distances)[(len(distances) - 1) // 2]
        total = sum(
            max(0.0, delta - float((level[i] - level[j]).norm())) ** 2 for i in range(6) for j in range(6) if i != j
        )
        levels.append(total / (6 * 5))
    assert uniformity_loss(vectors, margin=0.9).item() == pytest.approx(np.mean(levels), rel=1e-5)


def test_uniformity_pushes_near_codes_apart() -> None:
    vectors = torch.tensor([[[0.0, 0.0], [0.01, 0.0], [5.0, 0.0], [0.0, 5.0]]], requires_grad=True)
    uniformity_loss(vectors, margin=0.5).backward()
    assert vectors.grad is not None
    # Gradient descent moves code 0 to the left, code 1 to the right, and leaves the distant ones.
    assert vectors.grad[0, 0, 0] > 0 > vectors.grad[0, 1, 0]
    assert torch.equal(vectors.grad[0, 2:], torch.zeros(2, 2))


def test_revival_puts_dead_codes_onto_residuals(quantizer: ResidualQuantizer) -> None:
    codes = torch.zeros(20, 3, dtype=torch.int64)
    residuals = torch.randn(20, 3, 4)
    kept = quantizer.vectors[:, 0].detach().clone()
    assert quantizer.revive(residuals, codes, torch.Generator().manual_seed(0)) == 3 * 6
    assert torch.equal(quantizer.vectors[:, 0], kept)
    for level in range(3):
        for code in range(1, 7):
            assert (quantizer.vectors[level, code] == residuals[:, level]).all(1).any()
