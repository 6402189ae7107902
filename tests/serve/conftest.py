from __future__ import annotations

from collections.abc import Callable

import pytest

from s2gr.params import Params
from s2gr.publish.publishing import publish
from s2gr.workspace import Workspace


@pytest.fixture
def served(finished: Workspace, made_with: Callable[..., Params]) -> Workspace:
    """A work folder whose model is published."""
    publish(finished, made_with())
    return finished
