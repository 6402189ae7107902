"""Every loss of the code vectors against loops over its definition, values and gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.codebook.losses import StraightThrough, neighbours, uniformity_loss
from s2gr.codebook.quantizer import ResidualQuantizer


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 6), st.integers(1, 9))
def test_codebook_and_commitment_are_sums_over_levels_and_means_over_rows(
    seed: int, levels: int, codes: int, rows: int
) -> None:
    torch.manual_seed(seed)
    quantizer = ResidualQuantizer(levels, codes, 3, balance=0, balance_clip=0)
    latent = torch.randn(rows, 3, requires_grad=True)
    chosen, left = quantizer.trace(latent.detach(), balanced=False)
    rounded, codebook, commitment = StraightThrough.apply(latent, quantizer.vectors, chosen, left)
    expected = 0.0
    code_gradient = torch.zeros(levels, codes, 3)
    latent_gradient = torch.zeros(rows, 3)
    for row in range(rows):
        residual = latent[row].detach()
        for level in range(levels):
            code = int(chosen[row, level])
            difference = residual - quantizer.vectors[level, code].detach()
            expected += float(difference.square().sum()) / rows
            code_gradient[level, code] -= 2 * difference / rows
            latent_gradient[row] += 2 * difference / rows
            residual = difference
        torch.testing.assert_close(rounded[row], latent[row] - residual)
    for loss in (codebook, commitment):
        assert loss.item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    # The codebook loss moves the code vectors alone, commitment the encoder alone.
    inputs = (latent, quantizer.vectors)
    for loss, of_latent, of_codes in (
        (codebook, torch.zeros(rows, 3), code_gradient),
        (commitment, latent_gradient, torch.zeros(levels, codes, 3)),
        (rounded.sum(), torch.ones(rows, 3), torch.zeros(levels, codes, 3)),
    ):
        found = torch.autograd.grad(loss, inputs, retain_graph=True)
        torch.testing.assert_close(found[0], of_latent, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found[1], of_codes, rtol=1e-4, atol=1e-5)


def test_losses_of_one_row_by_hand() -> None:
    quantizer = ResidualQuantizer(levels=2, codes=1, dim=2, balance=0, balance_clip=0)
    with torch.no_grad():
        quantizer.vectors.copy_(torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]))
    latent = torch.tensor([[2.0, 3.0]])
    _, codebook, _ = StraightThrough.apply(latent, quantizer.vectors, *quantizer.trace(latent, balanced=False))
    # Level 1: (2,3) − (1,0) = (1,3): 10. Level 2: (1,3) − (0,1) = (1,2): 5.
    assert codebook.item() == pytest.approx(15)


def test_neighbours_are_the_pairs_near_the_share_of_the_median_distance() -> None:
    torch.manual_seed(2)
    vectors = torch.randn(2, 7, 3)
    found = neighbours(vectors, 0.9)
    expected = []
    for level in range(2):
        distances = {
            (i, j): float((vectors[level, i] - vectors[level, j]).norm()) for i in range(7) for j in range(i + 1, 7)
        }
        delta = 0.9 * sorted(distances.values())[(len(distances) - 1) // 2]
        expected += [(level, i, j) for (i, j), distance in distances.items() if distance < 1.25 * delta]
        assert found.radius[found.level == level].tolist() == pytest.approx(
            [delta] * int((found.level == level).sum()), rel=1e-5
        )
    assert list(zip(found.level.tolist(), found.first.tolist(), found.second.tolist(), strict=True)) == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 7), st.floats(0.1, 2.0))
def test_uniformity_is_the_double_sum_over_pairs(seed: int, codes: int, margin: float) -> None:
    torch.manual_seed(seed)
    vectors = torch.randn(2, codes, 3, requires_grad=True)
    total = torch.zeros(())
    for level in range(2):
        distances = sorted(
            float((vectors[level, i] - vectors[level, j]).detach().norm())
            for i in range(codes)
            for j in range(i + 1, codes)
        )
        delta = margin * distances[(len(distances) - 1) // 2]
        for i in range(codes):
            for j in range(codes):
                if i != j:
                    hinge = (delta - (vectors[level, i] - vectors[level, j]).norm()).clamp_min(0)
                    total = total + hinge**2 / (codes * (codes - 1) * 2)
    (expected,) = torch.autograd.grad(total, vectors)
    loss = uniformity_loss(vectors, neighbours(vectors, margin))
    assert loss.item() == pytest.approx(total.item(), rel=1e-4, abs=1e-6)
    (found,) = torch.autograd.grad(loss, vectors)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_uniformity_pushes_near_codes_apart() -> None:
    vectors = torch.tensor([[[0.0, 0.0], [0.01, 0.0], [5.0, 0.0], [0.0, 5.0]]], requires_grad=True)
    uniformity_loss(vectors, neighbours(vectors, 0.5)).backward()
    assert vectors.grad is not None
    # Gradient descent moves code 0 to the left, code 1 to the right, and leaves the distant ones.
    assert vectors.grad[0, 0, 0] > 0 > vectors.grad[0, 1, 0]
    assert torch.equal(vectors.grad[0, 2:], torch.zeros(2, 2))


def test_equal_codes_have_a_finite_gradient() -> None:
    vectors = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]], requires_grad=True)
    uniformity_loss(vectors, neighbours(vectors, 0.5)).backward()
    assert vectors.grad is not None
    assert torch.equal(vectors.grad, torch.zeros(1, 4, 2))
