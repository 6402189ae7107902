"""The RQ-VAE as a whole: its loss, what the kinds switch off, and what happens between epochs."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from s2gr.codebook.losses import neighbours, uniformity_loss
from s2gr.codebook.rqvae import RQVAE
from s2gr.embeddings import Matrix
from s2gr.params import Codebook


def section(**changes: object) -> Codebook:
    small = {"kind": "coba", "levels": 2, "codes": 8, "latent_dim": 4, "hidden": [16], "warmup": 0.0}
    return Codebook.model_validate(small | changes)


def placed(embeddings: Matrix, **changes: object) -> RQVAE:
    """A model whose code vectors k-means has placed."""
    torch.manual_seed(0)
    model = RQVAE(embeddings.shape[1], section(**changes))
    model.measure(embeddings)
    model.begin_epoch(0, embeddings, seed=0)
    return model


def test_loss_terms_are_those_of_the_definition(embeddings: Matrix) -> None:
    model = placed(embeddings, balance=0.0, commitment=0.3, uniformity=2.0, margin=1.5)
    terms = model(torch.from_numpy(embeddings))
    reconstruction = codebook = 0.0
    with torch.no_grad():
        for row in (torch.from_numpy(embeddings) - model.mean) * model.scale:
            residual = model.encoder(row)
            total = torch.zeros(4)
            for vectors in model.vectors:
                nearest = vectors[(residual - vectors).square().sum(1).argmin()]
                codebook += float((residual - nearest).square().sum()) / len(embeddings)
                residual, total = residual - nearest, total + nearest
            reconstruction += float((model.decoder(total) - row).square().sum()) / len(embeddings)
    assert terms["reconstruction"].item() == pytest.approx(reconstruction, rel=1e-4)
    assert terms["codebook"].item() == pytest.approx(codebook, rel=1e-4)
    assert terms["commitment"].item() == pytest.approx(0.3 * codebook, rel=1e-4)
    uniformity = uniformity_loss(model.vectors, neighbours(model.vectors, 1.5)).item()
    assert terms["uniformity"].item() == pytest.approx(2 * uniformity, rel=1e-4)
    assert terms["uniformity"].item() > 0
    total = sum(terms[name].item() for name in ("reconstruction", "codebook", "commitment", "uniformity"))
    assert terms["loss"].item() == pytest.approx(total, rel=1e-5)


def test_decoder_gradient_reaches_the_encoder_straight_through(embeddings: Matrix) -> None:
    model = placed(embeddings)
    rows = torch.from_numpy(embeddings)
    model(rows)["reconstruction"].backward()
    assert torch.equal(model.quantizer.vectors.grad, torch.zeros(2, 8, 4))
    found = [parameter.grad.clone() for parameter in model.encoder.parameters()]
    # The same gradient, handed to the encoder's output by hand.
    model.zero_grad()
    inputs = model.standardised(rows)
    latent = model.encoder(inputs)
    left = model.quantizer.trace(latent.detach(), balanced=True)[1]
    rounded = (latent.detach() - left[-1]).requires_grad_()
    (model.decoder(rounded) - inputs).square().sum(1).mean().backward()
    latent.backward(rounded.grad)
    for parameter, gradient in zip(model.encoder.parameters(), found, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_kind_rqvae_is_coba_without_uniformity_and_balance_whatever_their_weights(embeddings: Matrix) -> None:
    rows = torch.from_numpy(embeddings)
    plain = placed(embeddings, kind="rqvae", uniformity=5.0, balance=5.0, balance_clip=0.2)
    off = placed(embeddings, kind="coba", uniformity=0.0, balance=0.0)
    for model in (plain, off):
        model.quantizer.usage.copy_(torch.rand(2, 8, generator=torch.Generator().manual_seed(1)) * 4)
    terms = plain(rows)
    assert "uniformity" not in terms
    assert terms["loss"].item() == off(rows)["loss"].item()
    latent = plain.encode(embeddings)
    assert torch.equal(plain.nearest(latent, balanced=True), plain.nearest(latent, balanced=False))


def test_balance_changes_the_choice_in_training_and_not_at_export(embeddings: Matrix) -> None:
    model = placed(embeddings, balance=1.0, balance_clip=0.2)
    latent = model.encode(embeddings)
    before = model.nearest(latent)
    # Used to excess: all codes but the first.
    model.quantizer.usage.copy_(torch.tensor([0.0, *[9.0] * 7]).expand(2, 8))
    assert torch.equal(model.nearest(latent), before)
    assert (model.nearest(latent, balanced=True) == 0).sum() > (before == 0).sum()


def test_during_the_warm_up_nothing_is_rounded(embeddings: Matrix) -> None:
    torch.manual_seed(0)
    model = RQVAE(6, section(epochs=4, warmup=0.5))
    model.measure(embeddings)
    rows = torch.from_numpy(embeddings)
    for epoch in range(2):
        model.begin_epoch(epoch, embeddings, seed=0)
        terms = model(rows)
        inputs = model.standardised(rows)
        expected = (model.decoder(model.encoder(inputs)) - inputs).square().sum(1).mean()
        assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
        assert terms["codebook"].item() == terms["commitment"].item() == 0
    model.begin_epoch(2, embeddings, seed=0)
    assert model(rows)["codebook"].item() > 0


def test_k_means_places_every_code(embeddings: Matrix) -> None:
    model = placed(embeddings)
    assert len(model.nearest(model.encode(embeddings))[:, 0].unique()) == 8
    assert torch.equal(model.vectors, placed(embeddings).vectors)


def test_fewer_items_than_codes_get_a_code_each(embeddings: Matrix) -> None:
    model = placed(embeddings[:5])
    assert torch.isfinite(model.vectors).all()
    assert len(model.nearest(model.encode(embeddings[:5])).unique(dim=0)) == 5


def test_dead_codes_are_revived_between_epochs_and_counted(embeddings: Matrix) -> None:
    model = placed(embeddings)
    with torch.no_grad():
        # Out of every item's reach.
        model.vectors[0, :3] = 1e3
    model(torch.from_numpy(embeddings))
    dead = int((model.quantizer.tally == 0).sum())
    assert dead >= 3
    model.begin_epoch(1, embeddings, seed=0)
    assert model(torch.from_numpy(embeddings))["revived"].item() == dead
    assert float(model.vectors[0].abs().max()) < 1e3


class Recorded(TorchDispatchMode):
    """Which of torch's operations run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func))
        return func(*args, **(kwargs or {}))


def test_training_needs_nothing_that_has_no_deterministic_form_on_a_gpu(embeddings: Matrix) -> None:
    with Recorded() as recorded:
        model = placed(embeddings)
        model(torch.from_numpy(embeddings))["loss"].backward()
        model.begin_epoch(1, embeddings, seed=0)
    assert {"aten.bincount.default", "aten._pdist_forward.default"} <= recorded.names
    # Of those in the documentation of `torch.use_deterministic_algorithms` what is likely to be used here.
    refused = ("median.dim", "kthvalue", "histc", "cumsum", "put_.", "scatter_reduce", "nll_loss2d", "embedding_bag")
    assert not [name for name in recorded.names if name.removeprefix("aten.").startswith(refused)]


def test_loss_falls(embeddings: Matrix) -> None:
    model = placed(embeddings)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for epoch in range(1, 60):
        terms = model(torch.from_numpy(embeddings))
        terms["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(terms["loss"].item())
        model.begin_epoch(epoch, embeddings, seed=0)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
