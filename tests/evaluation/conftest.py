from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from s2gr.workspace import Workspace

from .small import Log, write_log


@pytest.fixture
def make_log(tmp_path: Path) -> Callable[[Log], Workspace]:
    return lambda log: write_log(tmp_path, log)
