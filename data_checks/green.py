"""Whether a workspace is fit to be published: the suites on data and semantic IDs, without drift."""

from __future__ import annotations

import importlib
from pathlib import Path

from data_checks.__main__ import SUITES
from s2gr.params import Params

# Of these, a warning counts too: they are what the model speaks in.
_STRICT = ("sids",)


def faults(workspace_root: Path, params: Params) -> list[str]:
    """The failed critical checks, and the failed warnings on semantic IDs, each in a line; none is green.

    Raises: UserError: if a file is missing or damaged.
    """
    found = []
    for suite in SUITES:
        if suite == "drift":
            continue
        for result in importlib.import_module(f"data_checks.{suite}").check(workspace_root, params):
            if not result.passed and (result.severity == "critical" or suite in _STRICT):
                observed, expected = result.metadata["observed"], result.metadata["expected"]
                found.append(f"{result.name} (observed {observed}, expected {expected})")
    return found
