"""All suites, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from data_checks import content, cooccurrence, drift, events, items, recommendations, sids
from data_checks.result import Check, CheckResult
from s2gr.params import Params


class Suite(Protocol):
    """A module of data_checks: what it checks, known without importing what does the checking."""

    CHECKS: tuple[Check, ...]

    def check(self, workspace_root: Path, params: Params | None = None) -> list[CheckResult]: ...


SUITES: dict[str, Suite] = {
    "events": events,
    "items": items,
    "content": content,
    "cooccurrence": cooccurrence,
    "sids": sids,
    "recommendations": recommendations,
    "drift": drift,
}
# The stages that made what they check, where those have other names.
STAGES = {"items": "events", "drift": "events"}
