"""What a check is, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

# `critical`: what is downstream would be wrong, and must not run. `warning`: it runs, and somebody should look.
Severity = Literal["critical", "warning"]

# Numbers, texts, paths of reports, and lists of those.
Metadata = dict[str, str | int | float | Path | list[Any]]


@dataclass(frozen=True)
class Check:
    """One thing that is held about an artefact; ``description`` says why it matters."""

    name: str
    severity: Severity
    description: str


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one :class:`Check`; ``metadata["observed"]`` is what was found."""

    name: str
    passed: bool
    severity: Severity
    description: str
    metadata: Metadata = field(default_factory=dict)


def outcome(check: Check, passed: bool, **metadata: str | int | float | Path | list[Any]) -> CheckResult:
    """The result of ``check``."""
    return CheckResult(check.name, passed, check.severity, check.description, metadata)
