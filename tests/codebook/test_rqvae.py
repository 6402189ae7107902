"""The RQ-VAE as a whole: losses, initialisation, storage."""

from pathlib import Path

import numpy as np
import pytest
import torch

from s2gr.codebook.rqvae import RQVAE, codebook_input
from s2gr.errors import UserError
from s2gr.params import Codebook


@pytest.fixture
def params() -> Codebook:
    return Codebook(levels=2, codes=8, latent_dim=4, hidden=[16])


@pytest.fixture
def embeddings() -> torch.Tensor:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(60, 6)).astype(np.float32)
    return codebook_input(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_loss_is_the_sum_of_its_terms(params: Codebook, embeddings: torch.Tensor) -> None:
    terms = RQVAE(6, params)(embeddings)
    assert set(terms) == {"reconstruction", "codebook", "commitment", "uniformity", "loss"}
    total = sum(value.item() for name, value in terms.items() if name != "loss")
    assert terms["loss"].item() == pytest.approx(total, rel=1e-5)


def test_decoder_gradient_reaches_the_encoder_straight_through(params: Codebook, embeddings: torch.Tensor) -> None:
    model = RQVAE(6, params)
    model(embeddings)["reconstruction"].backward()
    assert float(model.encoder[0].weight.grad.abs().sum()) > 0
    assert model.quantizer.vectors.grad is None


def test_initialisation_uses_nearly_every_code(params: Codebook, embeddings: torch.Tensor) -> None:
    model = RQVAE(6, params)
    model.initialise(embeddings, seed=0)
    codes = model.quantizer(model.encode(embeddings), balanced=False).codes
    assert len(codes[:, 0].unique()) == 8


def test_initialisation_copes_with_fewer_items_than_codes(params: Codebook, embeddings: torch.Tensor) -> None:
    model = RQVAE(6, params)
    model.initialise(embeddings[:5], seed=0)
    assert torch.isfinite(model.quantizer.vectors).all()
    codes = model.quantizer(model.encode(embeddings[:5]), balanced=False).codes
    assert len(codes.unique(dim=0)) == 5


def test_initialisation_is_the_same_each_time(params: Codebook, embeddings: torch.Tensor) -> None:
    model = RQVAE(6, params)
    model.initialise(embeddings, seed=3)
    first = model.quantizer.vectors.detach().clone()
    model.initialise(embeddings, seed=3)
    assert torch.equal(first, model.quantizer.vectors)


def test_loads_what_it_saved(params: Codebook, embeddings: torch.Tensor, tmp_path: Path) -> None:
    model = RQVAE(6, params)
    model.save(tmp_path)
    loaded = RQVAE.load(tmp_path)
    assert loaded.params == params
    torch.testing.assert_close(loaded.encode(embeddings), model.encode(embeddings))


def test_missing_codebook_says_which_stage_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run the stage `codebook`"):
        RQVAE.load(tmp_path)
