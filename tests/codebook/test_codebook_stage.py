"""The stage: every kind, any embeddings, the same bytes each time, and what the report says."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from s2gr.codebook.loading import load_codebook
from s2gr.embeddings import Matrix
from s2gr.errors import UserError
from s2gr.params import Codebook
from s2gr.workspace import Workspace, read_json

MakeWorkspace = Callable[..., Workspace]
Run = Callable[..., dict[str, Any]]


def files(workspace: Workspace) -> dict[str, bytes]:
    root = workspace.root
    return {str(p.relative_to(root)): p.read_bytes() for d in ("models", "reports") for p in (root / d).rglob("*.*")}


def test_the_same_data_gives_the_same_bytes(
    params: Codebook, embeddings: Matrix, workspace: MakeWorkspace, run: Run
) -> None:
    found = []
    for name in ("one", "other"):
        run(made := workspace(embeddings, name), params)
        found.append(files(made))
    assert found[0] == found[1]
    assert {"models/codebook/model.safetensors", "reports/codebook_curve.csv", "reports/codebook.json"} <= set(found[0])


def test_report_and_curve_count_revived_codes(embeddings: Matrix, workspace: MakeWorkspace, run: Run) -> None:
    # More codes than items: most are dead in every epoch.
    section = Codebook(kind="coba", levels=2, codes=64, latent_dim=4, hidden=[16], epochs=3, warmup=0.4)
    metrics = run(made := workspace(embeddings[:30]), section)
    header, *rows = made.plot("codebook_curve").read_text().splitlines()
    revived = [float(row.split(",")[header.split(",").index("revived")]) for row in rows]
    assert revived[:2] == [0, 0]
    assert metrics["revived"] == sum(revived) > 30


def test_report_of_k_means_counts_its_iterations(embeddings: Matrix, workspace: MakeWorkspace, run: Run) -> None:
    metrics = run(workspace(embeddings), Codebook(kind="rqkmeans", levels=2, codes=8))
    assert metrics["iterations"] >= 2
    assert metrics["reconstruction"] == metrics["loss"] > 0


def test_equal_and_zero_rows_are_reported(
    params: Codebook, embeddings: Matrix, workspace: MakeWorkspace, run: Run
) -> None:
    rows = np.concatenate([embeddings, embeddings[:3], np.zeros((1, 6), np.float32)])
    metrics = run(workspace(rows), params)
    assert (metrics["items"], metrics["distinct"], metrics["zero"]) == (64, 61, 1)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["coba", "rqvae", "rqkmeans"]),
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.integers(1, 4)),
        elements=st.sampled_from([0.0, -1.0, 1.0, 0.5]) | st.floats(-1e3, 1e3, width=32),
    ),
)
def test_any_embeddings_give_a_finite_codebook_or_one_line(
    workspace: MakeWorkspace, run: Run, kind: str, rows: np.ndarray
) -> None:
    section = Codebook(kind=kind, levels=2, codes=4, latent_dim=2, hidden=[4], epochs=2, batch_size=4)
    made = workspace(rows)
    if len(np.unique(rows, axis=0)) == 1:
        with pytest.raises(UserError, match="embeddings are equal"):
            run(made, section)
        return
    run(made, section)
    codebook = load_codebook(made.codebook)
    assert all(torch.isfinite(value).all() for value in codebook.state_dict().values())
    codes = codebook.nearest(codebook.encode(rows))
    assert codes.shape == (len(rows), 2)
    assert 0 <= int(codes.min()) <= int(codes.max()) < 4
    assert np.isfinite(codebook.reconstruction_error(rows, codes))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_are_refused(
    value: float, params: Codebook, embeddings: Matrix, workspace: MakeWorkspace, run: Run
) -> None:
    embeddings[7, 2] = value
    with pytest.raises(
        UserError, match=r"aligned\.parquet: expected finite numbers, found .* \(item 'i7'\), dimension 3"
    ):
        run(workspace(embeddings), params)


def test_missing_embeddings_are_told(params: Codebook, run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"aligned\.parquet is missing"):
        run(Workspace(tmp_path), params)


def test_training_data_parallel_counts_codes_as_with_batches_twice_as_large(
    embeddings: Matrix, workspace: MakeWorkspace, run: Run, tmp_path: Path
) -> None:
    section = {"kind": "coba", "levels": 2, "codes": 24, "latent_dim": 4, "hidden": [16], "epochs": 4, "batch_size": 6}
    run(alone := workspace(embeddings, "alone"), Codebook.model_validate(section), batch_size=12)
    together = workspace(embeddings, "together")
    runtime = {"threads": 1, "devices": 2, "device": "cpu"}
    overlay = {"runtime": runtime, "codebook": section, "reasoner": {"clusters": 2, "steps": [1, 1]}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(overlay))
    files = ["--params", str(tmp_path / "params.yaml"), "--workdir", str(together.root)]
    subprocess.run([sys.executable, "-m", "s2gr.codebook", *files], check=True, capture_output=True, timeout=120)
    one, other = (load_codebook(made.codebook).quantizer for made in (alone, together))
    # A code that was chosen in the second process alone is not dead.
    revived = [read_json(made.report("codebook"))["revived"] for made in (alone, together)]
    assert revived[0] == revived[1]
    assert torch.equal(other.tally, one.tally)
    torch.testing.assert_close(other.usage, one.usage)
