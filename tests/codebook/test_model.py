"""What all kinds of codebook share: standardising, encoding in chunks, reconstruction, storage."""

from pathlib import Path

import numpy as np
import pytest
import torch

from s2gr.codebook import model as module
from s2gr.codebook.loading import build_codebook, load_codebook
from s2gr.embeddings import Matrix
from s2gr.errors import UserError
from s2gr.params import Codebook


@pytest.fixture
def codebook(params: Codebook, embeddings: Matrix) -> module.ResidualCodebook:
    torch.manual_seed(0)
    codebook = build_codebook(6, params)
    codebook.measure(embeddings)
    return codebook


def test_standardised_items_have_mean_0_and_variance_1(codebook: module.ResidualCodebook, embeddings: Matrix) -> None:
    rows = codebook.standardised(torch.from_numpy(embeddings))
    np.testing.assert_allclose(rows.mean(0), np.zeros(6), atol=1e-6)
    assert rows.var(0, unbiased=False).mean().item() == pytest.approx(1, rel=1e-5)


def test_latent_vectors_are_those_of_the_encoder(codebook: module.ResidualCodebook, embeddings: Matrix) -> None:
    with torch.no_grad():
        expected = codebook.encoder((torch.from_numpy(embeddings) - codebook.mean) * codebook.scale)
    torch.testing.assert_close(codebook.encode(embeddings), expected)


@pytest.mark.parametrize("chunk", [1, 7, 60, 1000])
def test_results_do_not_depend_on_the_chunk_size(
    codebook: module.ResidualCodebook, embeddings: Matrix, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    latent = codebook.encode(embeddings)
    codes = codebook.nearest(latent)
    error = codebook.reconstruction_error(embeddings, codes)
    monkeypatch.setattr(module, "CHUNK", chunk)
    torch.testing.assert_close(codebook.encode(embeddings), latent)
    assert torch.equal(codebook.nearest(latent), codes)
    assert codebook.reconstruction_error(embeddings, codes) == pytest.approx(error, rel=1e-5)


def test_float16_memory_maps_are_read(codebook: module.ResidualCodebook, embeddings: Matrix, tmp_path: Path) -> None:
    np.save(tmp_path / "e.npy", embeddings.astype(np.float16))
    rows = np.load(tmp_path / "e.npy", mmap_mode="r")
    torch.testing.assert_close(codebook.encode(rows), codebook.encode(embeddings), atol=2e-2, rtol=0)


def test_reconstruction_error_is_the_share_of_variance_that_is_lost(
    codebook: module.ResidualCodebook, embeddings: Matrix
) -> None:
    codes = codebook.nearest(codebook.encode(embeddings))
    error = variance = 0.0
    mean = embeddings.mean(0)
    for row, code in zip(embeddings, codes.tolist(), strict=True):
        latent = sum(codebook.vectors[level, code[level]] for level in range(2))
        with torch.no_grad():
            rebuilt = codebook.decoder(latent[None])[0].numpy() / float(codebook.scale) + mean
        error += float(((row - rebuilt) ** 2).sum())
        variance += float(((row - mean) ** 2).sum())
    assert codebook.reconstruction_error(embeddings, codes) == pytest.approx(error / variance, rel=1e-4)


def test_loads_what_it_saved(codebook: module.ResidualCodebook, embeddings: Matrix, tmp_path: Path) -> None:
    codebook.save(tmp_path)
    loaded = load_codebook(tmp_path)
    assert type(loaded) is type(codebook)
    assert (loaded.params, loaded.input_dim) == (codebook.params, 6)
    assert torch.equal(loaded.vectors, codebook.vectors)
    assert torch.equal(loaded.encode(embeddings), codebook.encode(embeddings))


def test_a_missing_codebook_says_which_stage_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run the stage `codebook` first"):
        load_codebook(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", '{"input_dim": 6, "unknown": 1}'),
        ("config.json", '{"levels": 2}'),
        ("config.json", '{"input_dim": 6, "codes": 9}'),
        ("model.safetensors", "no weights"),
        ("model.safetensors", None),
    ],
)
def test_a_damaged_codebook_is_one_line(
    file: str, content: str | None, codebook: module.ResidualCodebook, tmp_path: Path
) -> None:
    codebook.save(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match="run the stage `codebook` again") as caught:
        load_codebook(tmp_path)
    assert "\n" not in str(caught.value)
