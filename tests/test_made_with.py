"""Whose parameters checks and commands take, where a folder has several."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2gr import cli_common
from s2gr.made_with import params_of
from s2gr.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """`s2gr run --set events.k_core=2` in a folder with a params.yaml."""
    (tmp_path / ".s2gr").mkdir()
    (tmp_path / ".s2gr/params.yaml").write_text("events: {k_core: 2}\n")
    (tmp_path / "params.yaml").write_text("events: {k_core: 4}\n")
    return Workspace(tmp_path)


def test_the_last_run_tells_what_it_ran_with(workspace: Workspace) -> None:
    assert params_of(workspace).events.k_core == 2
    assert cli_common.params_of(workspace, None).events.k_core == 2


def test_in_a_project_a_run_from_before_it_was_one_misleads_nobody(workspace: Workspace) -> None:
    (workspace.root / "dvc.yaml").touch()
    assert params_of(workspace).events.k_core == 4
    assert cli_common.params_of(workspace, None).events.k_core == 4


def test_without_a_run_it_is_the_folders_own_and_without_that_the_defaults(workspace: Workspace) -> None:
    workspace.params.unlink()
    assert params_of(workspace).events.k_core == 4
    (workspace.root / "params.yaml").unlink()
    assert params_of(workspace).events.k_core == 5


def test_files_that_are_named_come_before_all(workspace: Workspace) -> None:
    (workspace.root / "other.yaml").write_text("events: {k_core: 7}\n")
    assert cli_common.params_of(workspace, [workspace.root / "other.yaml"]).events.k_core == 7
