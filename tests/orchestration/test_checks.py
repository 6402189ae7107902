"""A suite of data_checks as asset checks: critical ones stop what is downstream, warnings do not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import dagster as dg
import pytest

from data_checks.result import Check, CheckResult
from orchestration.defs.checks import suite


def run(severity: Literal["critical", "warning"], passed: bool, **metadata: Any) -> dg.ExecuteInProcessResult:
    @dg.asset
    def first() -> None: ...

    @dg.asset(deps=[first])
    def second() -> None: ...

    held = Check("held", severity, "why it is held")
    result = CheckResult(held.name, passed, severity, held.description, metadata)
    module: Any = SimpleNamespace(CHECKS=(held,), check=lambda root: [result])
    return dg.materialize([first, second, suite("toy_suite", "first", module)], raise_on_error=False)


@pytest.mark.parametrize(
    ("severity", "passed", "goes_on"),
    [("critical", True, True), ("critical", False, False), ("warning", False, True)],
)
def test_only_a_failed_critical_check_blocks(
    severity: Literal["critical", "warning"], passed: bool, goes_on: bool
) -> None:
    result = run(severity, passed)
    assert bool(result.asset_materializations_for_node("second")) is goes_on
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.passed is passed
    assert evaluation.severity is (
        dg.AssetCheckSeverity.ERROR if severity == "critical" else dg.AssetCheckSeverity.WARN
    )


def test_a_report_becomes_a_link_and_a_figure_stays_one(tmp_path: Path) -> None:
    (evaluation,) = run("warning", True, report=tmp_path / "drift.html", observed=0.5).get_asset_check_evaluations()
    assert evaluation.metadata["report"] == dg.MetadataValue.path(tmp_path / "drift.html")
    assert evaluation.metadata["observed"].value == 0.5
