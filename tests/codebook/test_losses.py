"""Every loss of the code vectors against loops over its definition, values and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.codebook.losses import codebook_loss, commitment_loss, repulsion_radius, uniformity_loss
from s2gr.codebook.quantizer import ResidualQuantizer


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 6), st.integers(1, 9))
def test_codebook_and_commitment_are_sums_over_levels_and_means_over_rows(
    seed: int, levels: int, codes: int, rows: int
) -> None:
    torch.manual_seed(seed)
    quantizer = ResidualQuantizer(levels, codes, 3, balance=0, balance_clip=0)
    latent = torch.randn(rows, 3, requires_grad=True)
    quantized = quantizer(latent, balanced=False)
    expected = 0.0
    code_gradient = torch.zeros(levels, codes, 3)
    latent_gradient = torch.zeros(rows, 3)
    for row in range(rows):
        residual = latent[row].detach()
        for level in range(levels):
            code = int(quantized.codes[row, level])
            left = residual - quantizer.vectors[level, code].detach()
            expected += float(left.square().sum()) / rows
            code_gradient[level, code] -= 2 * left / rows
            latent_gradient[row] += 2 * left / rows
            residual = left
    assert codebook_loss(quantized).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert commitment_loss(quantized).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    codebook_loss(quantized).backward(retain_graph=True)
    assert latent.grad is None
    torch.testing.assert_close(quantizer.vectors.grad, code_gradient, rtol=1e-4, atol=1e-5)
    quantizer.vectors.grad = None
    commitment_loss(quantized).backward()
    assert quantizer.vectors.grad is None
    torch.testing.assert_close(latent.grad, latent_gradient, rtol=1e-4, atol=1e-5)


def test_losses_of_one_row_by_hand() -> None:
    quantizer = ResidualQuantizer(levels=2, codes=1, dim=2, balance=0, balance_clip=0)
    with torch.no_grad():
        quantizer.vectors.copy_(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]))
    # Level 1: (2,3) − (1,0) = (1,3): 10. Level 2: (1,3) − (0,1) = (1,2): 5.
    assert codebook_loss(quantizer(torch.tensor([[2.0, 3.0]]), balanced=False)).item() == pytest.approx(15)


def test_radius_is_a_share_of_the_median_distance_of_each_level() -> None:
    torch.manual_seed(2)
    vectors = torch.randn(2, 6, 3)
    for level, radius in zip(vectors, repulsion_radius(vectors, 0.9), strict=True):
        distances = sorted(float((a - b).norm()) for i, a in enumerate(level) for b in level[i + 1 :])
        assert radius.item() == pytest.approx(0.9 * distances[(len(distances) - 1) // 2], rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 7), st.floats(0.1, 3.0))
def test_uniformity_is_the_double_sum_over_pairs(seed: int, codes: int, delta: float) -> None:
    torch.manual_seed(seed)
    vectors = torch.randn(2, codes, 3, requires_grad=True)
    radius = torch.tensor([delta, 0.5 * delta])
    total = torch.zeros(())
    for level in range(2):
        for i in range(codes):
            for j in range(codes):
                if i != j:
                    hinge = (radius[level] - (vectors[level, i] - vectors[level, j]).norm()).clamp_min(0)
                    total = total + hinge**2 / (codes * (codes - 1) * 2)
    (expected,) = torch.autograd.grad(total, vectors)
    loss = uniformity_loss(vectors, radius)
    assert loss.item() == pytest.approx(total.item(), rel=1e-4, abs=1e-6)
    loss.backward()
    torch.testing.assert_close(vectors.grad, expected, rtol=1e-3, atol=1e-5)


def test_uniformity_pushes_near_codes_apart() -> None:
    vectors = torch.tensor([[[0.0, 0.0], [0.01, 0.0], [5.0, 0.0], [0.0, 5.0]]], requires_grad=True)
    uniformity_loss(vectors, torch.tensor([2.5])).backward()
    assert vectors.grad is not None
    # Gradient descent moves code 0 to the left, code 1 to the right, and leaves the distant ones.
    assert vectors.grad[0, 0, 0] > 0 > vectors.grad[0, 1, 0]
    assert torch.equal(vectors.grad[0, 2:], torch.zeros(2, 2))


def test_equal_codes_have_a_finite_gradient() -> None:
    vectors = torch.zeros(1, 3, 2, requires_grad=True)
    uniformity_loss(vectors, torch.tensor([1.0])).backward()
    assert torch.equal(vectors.grad, torch.zeros(1, 3, 2))
