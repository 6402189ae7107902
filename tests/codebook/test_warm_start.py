"""Going on from an earlier codebook: its weights, its mean, and no k-means; what does not fit is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from s2gr.codebook.loading import build_codebook, load_codebook
from s2gr.codebook.rqvae import RQVAE
from s2gr.codebook.warm_start import start_from
from s2gr.embeddings import Matrix, unit_rows
from s2gr.errors import UserError
from s2gr.params import Codebook
from s2gr.workspace import Workspace

MakeWorkspace = Callable[..., Workspace]
Run = Callable[..., dict[str, Any]]


def test_codes_hardly_change_where_anew_nearly_all_do(
    params: Codebook, embeddings: Matrix, workspace: MakeWorkspace, run: Run
) -> None:
    grown = np.concatenate([embeddings, unit_rows(np.random.default_rng(9).normal(size=(3, 6)).astype(np.float32))])
    first = workspace(embeddings, "first")
    run(first, params, epochs=8)
    before = load_codebook(first.codebook)
    found = {}
    for name, changes in (("warm", {"warm_start": first.codebook}), ("anew", {})):
        again = workspace(grown, name)
        run(again, params, epochs=8, **changes)
        after = load_codebook(again.codebook)
        codes = [model.nearest(model.encode(embeddings)) for model in (before, after)]
        found[name] = float((codes[0] == codes[1]).float().mean())
    assert found["warm"] > found["anew"] + 0.2


def test_the_report_says_what_it_started_from(
    params: Codebook, embeddings: Matrix, workspace: MakeWorkspace, run: Run
) -> None:
    first = workspace(embeddings, "first")
    assert run(first, params)["warm_start"] is None
    origin = run(workspace(embeddings, "again"), params, warm_start=first.codebook)["warm_start"]
    assert origin["folder"] == str(first.codebook)
    assert len(origin["sha256"]) == 64


def test_weights_mean_and_scale_are_taken_over(params: Codebook, embeddings: Matrix, tmp_path: Path) -> None:
    torch.manual_seed(3)
    previous = build_codebook(6, params)
    previous.measure(embeddings)
    previous.save(tmp_path)
    model = build_codebook(6, params)
    start_from(tmp_path, model)
    for name, value in previous.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def test_there_is_no_warm_up_and_no_k_means(embeddings: Matrix) -> None:
    model = RQVAE(6, Codebook(kind="coba", levels=2, codes=8, latent_dim=4, hidden=[16], epochs=10, warmup=0.5))
    vectors = model.vectors.clone()
    model.quantizer.tally += 1
    model.begin_epoch(0, embeddings, seed=0, warm=True)
    assert model.quantizing
    assert torch.equal(model.vectors, vectors)


def test_dead_codes_are_revived_from_the_first_epoch(embeddings: Matrix) -> None:
    model = RQVAE(6, Codebook(kind="coba", levels=2, codes=8, latent_dim=4, hidden=[16]))
    model.quantizer.tally += 1
    model.quantizer.tally[1, 3] = 0
    model.begin_epoch(0, embeddings, seed=0, warm=True)
    assert model.revived.item() == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "rqvae"}, r"codebook\.kind: expected coba, found rqvae"),
        ({"codes": 9}, r"codebook\.codes: expected 8, found 9"),
        ({"levels": 3}, r"codebook\.levels: expected 2, found 3"),
        ({"latent_dim": 5}, r"codebook\.latent_dim: expected 4, found 5"),
        ({"hidden": [8]}, r"codebook\.hidden: expected \[16\], found \[8\]"),
    ],
)
def test_another_kind_or_shape_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    wanted = Codebook(kind="coba", levels=2, codes=8, latent_dim=4, hidden=[16])
    build_codebook(6, wanted.model_copy(update=changes)).save(tmp_path)
    with pytest.raises(UserError, match=message):
        start_from(tmp_path, build_codebook(6, wanted))


def test_embeddings_of_another_width_are_refused(params: Codebook, tmp_path: Path) -> None:
    build_codebook(5, params).save(tmp_path)
    with pytest.raises(UserError, match="width of the embeddings: expected 6, found 5"):
        start_from(tmp_path, build_codebook(6, params))


def test_a_missing_folder_is_told(params: Codebook, embeddings: Matrix, workspace: MakeWorkspace, run: Run) -> None:
    with pytest.raises(UserError, match="holds no codebook"):
        run(workspace(embeddings), params, warm_start="nowhere")


def test_k_means_has_no_network_whose_shape_could_differ(tmp_path: Path) -> None:
    wanted = Codebook(kind="rqkmeans", levels=2, codes=8)
    build_codebook(6, wanted.model_copy(update={"latent_dim": 5, "hidden": [8]})).save(tmp_path)
    start_from(tmp_path, build_codebook(6, wanted))
