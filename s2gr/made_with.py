"""The parameters that the artefacts in a folder were made with: what checks and commands judge and read them by."""

from __future__ import annotations

from s2gr.params import Params, load_params
from s2gr.workspace import Workspace


def params_of(workspace: Workspace) -> Params:
    """Of whoever made the artefacts there.

    In a DVC project that is `dvc repro`, which reads params.yaml; `s2gr run` works in none, so what one has noted there
    is older than the project. Elsewhere it is the last `s2gr run`, whose note holds overlays and settings, too; a
    params.yaml beside it may have been only one of them. A bundle has a params.yaml alone; without any, the defaults.

    Raises: UserError: the file is malformed.
    """
    project, run = workspace.root / "params.yaml", workspace.params
    files = (project,) if (workspace.root / "dvc.yaml").exists() else (run, project)
    return load_params([file for file in files if file.exists()][:1])
