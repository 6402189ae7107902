"""Embeddings as an earlier stage leaves them, and small codebooks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s2gr.embeddings import Matrix, embedding_table, unit_rows
from s2gr.params import Codebook, Params, Runtime
from s2gr.stage import execute
from s2gr.workspace import Workspace, write_table


@pytest.fixture
def embeddings() -> Matrix:
    """60 rows of unit norm around a common mean."""
    return unit_rows(np.random.default_rng(0).normal(0.5, 1, (60, 6)).astype(np.float32))


@pytest.fixture(params=["coba", "rqvae", "rqkmeans"])
def params(request: pytest.FixtureRequest) -> Codebook:
    """A small codebook of each kind."""
    return Codebook(kind=request.param, levels=2, codes=8, latent_dim=4, hidden=[16], epochs=4, batch_size=16)


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[[Any], Workspace]:
    """A work folder whose aligned embeddings are the given rows."""

    def make(rows: Any, name: str = "w") -> Workspace:
        workspace = Workspace(tmp_path / name)
        matrix = np.asarray(rows, dtype=np.float32)
        write_table(embedding_table([f"i{row}" for row in range(len(matrix))], matrix), workspace.aligned)
        return workspace

    return make


@pytest.fixture
def run() -> Callable[..., dict[str, Any]]:
    """Run the stage with a section and changes to it; its figures."""

    def run(workspace: Workspace, section: Codebook, **changes: Any) -> dict[str, Any]:
        section = Codebook.model_validate(section.model_dump() | changes)
        # A copy: sections that this stage does not read need not fit.
        params = Params().model_copy(update={"runtime": Runtime(threads=1), "codebook": section})
        return dict(execute("codebook", params, workspace))

    return run
