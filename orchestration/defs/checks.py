"""The suites of data_checks/ as asset checks: critical ones block what is downstream, the others warn."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import dagster as dg

from data_checks import content, cooccurrence, drift, events, items, recommendations, sids
from data_checks.result import Check, CheckResult
from orchestration.dvc_project import PROJECT

SEVERITIES = {"critical": dg.AssetCheckSeverity.ERROR, "warning": dg.AssetCheckSeverity.WARN}


class Suite(Protocol):
    """A module of data_checks: what it checks, known without importing what does the checking."""

    CHECKS: tuple[Check, ...]

    def check(self, workspace_root: Path) -> list[CheckResult]: ...


def suite(name: str, asset: str, module: Suite) -> dg.AssetChecksDefinition:
    """All checks of one module of data_checks, run together after the asset."""
    specs = [
        dg.AssetCheckSpec(check.name, asset=asset, description=check.description, blocking=check.severity == "critical")
        for check in module.CHECKS
    ]

    @dg.multi_asset_check(name=name, specs=specs)
    def run() -> Iterator[dg.AssetCheckResult]:
        for result in module.check(PROJECT.root):
            yield asset_check_result(asset, result)

    return run


def asset_check_result(asset: str, result: CheckResult) -> dg.AssetCheckResult:
    """A file among the metadata (an HTML report) becomes a link."""
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=result.name,
        passed=result.passed,
        severity=SEVERITIES[result.severity],
        description=result.description,
        metadata={
            key: dg.MetadataValue.path(value.resolve()) if isinstance(value, Path) else value
            for key, value in result.metadata.items()
        },
    )


@dg.definitions
def checks() -> dg.Definitions:
    return dg.Definitions(
        asset_checks=[
            suite("events_suite", "events", events),
            suite("items_suite", "events", items),
            suite("content_suite", "content", content),
            suite("cooccurrence_suite", "cooccurrence", cooccurrence),
            suite("sids_suite", "sids", sids),
            suite("recommendations_suite", "recommendations", recommendations),
            suite("drift", "events", drift),
        ]
    )
