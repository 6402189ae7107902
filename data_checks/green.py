"""Whether a workspace is fit to be published: the suites on data and semantic IDs, without drift."""

from __future__ import annotations

from pathlib import Path

from data_checks import sids
from data_checks.result import CheckResult
from data_checks.suites import SUITES
from s2gr.errors import UserError
from s2gr.params import Params
from s2gr.workspace import Workspace

_SUITES = {name: suite for name, suite in SUITES.items() if name != "drift"}


def faults(workspace_root: Path, params: Params, champion: Workspace | None) -> list[str]:
    """The failed critical checks, and the warnings on semantic IDs that the champion passes, each in a line.

    Semantic IDs are what a model speaks in, so a challenger whose codes have collapsed is not green. But where the
    champion's fail as well, the catalogue (small, or with one item that all want) has no better ones: a veto would hold
    for good.

    Args:
        champion: the bundle that is served, if one is.
    Raises: UserError: if a file of the workspace is missing or damaged.
    """
    found = []
    for name, suite in _SUITES.items():
        failed = [result for result in suite.check(workspace_root, params) if not result.passed]
        held = _passed_by(champion, params) if name == "sids" and failed else set()
        found += [_told(result) for result in failed if result.severity == "critical" or result.name in held]
    return found


def critical(workspace_root: Path, params: Params) -> list[str]:
    """The failed critical checks of all that a bundle is made from, each in a line.

    Raises: UserError: if a file of the workspace is missing or damaged.
    """
    suites = (suite for name, suite in _SUITES.items() if name != "recommendations")
    results = (result for suite in suites for result in suite.check(workspace_root, params))
    return [_told(result) for result in results if not result.passed and result.severity == "critical"]


def _passed_by(champion: Workspace | None, params: Params) -> set[str]:
    """The checks on semantic IDs that a bundle passes; none of one that can't be read."""
    if champion is None:
        return set()
    try:
        results = sids.check(champion.root, params, champion.reference_log)
    except UserError:
        return set()
    return {result.name for result in results if result.passed}


def _told(result: CheckResult) -> str:
    return f"{result.name} (observed {result.metadata['observed']}, expected {result.metadata['expected']})"
