from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from s2gr.params import Params
from s2gr.publish.publishing import publish
from s2gr.workspace import Workspace


@pytest.fixture(scope="session")
def published(finished_once: tuple[Workspace, Params], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A work folder with one published version."""
    folder = tmp_path_factory.mktemp("served") / "work"
    shutil.copytree(finished_once[0].root, folder)
    publish(Workspace(folder), finished_once[1])
    return Workspace(folder)


@pytest.fixture
def served(finished: Workspace, made_with: Callable[..., Params]) -> Workspace:
    """A work folder whose model is published."""
    publish(finished, made_with())
    return finished
