"""The suites of data_checks/ as asset checks: critical ones block what is downstream, the others warn."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg

from data_checks.result import CheckResult
from data_checks.suites import STAGES, SUITES, Suite
from orchestration.dvc_project import PROJECT

SEVERITIES = {"critical": dg.AssetCheckSeverity.ERROR, "warning": dg.AssetCheckSeverity.WARN}


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
            suite(name if name == "drift" else f"{name}_suite", STAGES.get(name, name), module)
            for name, module in SUITES.items()
        ]
    )
