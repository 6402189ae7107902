"""Dagster as a process of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestration.dagster_process import dagster_dev
from s2gr.errors import UserError


def test_a_dagster_that_ends_at_once_is_told_with_what_it_said(tmp_path: Path) -> None:
    (tmp_path / ".dagster").mkdir()
    program = tmp_path / "bin/dg"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho there is no project here\nexit 1\n")
    program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    with (
        pytest.raises(UserError, match=r"(?s)Dagster did not start in .*there is no project here"),
        dagster_dev(tmp_path, {**os.environ, "PATH": path}),
    ):
        pass
