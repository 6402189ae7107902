"""``python -m data_checks [NAME …] [--workdir D]``: run the suites (:mod:`data_checks.suites`) without Dagster.

Exits with 1 if a critical check failed, with 2 and one line on a :class:`UserError`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from data_checks.result import CheckResult
from data_checks.suites import SUITES
from s2gr.console import set_up_logging
from s2gr.errors import UserError, explained
from s2gr.params import load_params


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named suites (all by default), print what came of them, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m data_checks", description="Check the artefacts of a workspace.")
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"{', '.join(SUITES)}; default: all")
    parser.add_argument("--workdir", type=Path, default=Path("."), help="the folder of the artefacts")
    parser.add_argument("--params", type=Path, action="append", help="params files; default: those of the artefacts")
    given = parser.parse_args(arguments)
    set_up_logging()
    try:
        unknown = [suite for suite in given.suites if suite not in SUITES]
        if unknown:
            raise UserError(f"there is no suite `{unknown[0]}`; known are {', '.join(SUITES)}")
        params = load_params(given.params) if given.params else None
        results: list[CheckResult] = []
        with explained():
            for suite in given.suites or SUITES:
                results += SUITES[suite].check(given.workdir, params)
    except UserError as error:
        print(f"error: data_checks: {error}", file=sys.stderr)
        return 2
    _print(results)
    return 1 if any(not result.passed and result.severity == "critical" for result in results) else 0


def _print(results: list[CheckResult]) -> None:
    table = Table(title="Data checks")
    for column in ("check", "severity", "passed", "observed", "expected", "why"):
        table.add_column(column, overflow="fold")
    for result in results:
        # Not colour alone: the word must tell it in a log file too.
        passed = "[green]yes[/]" if result.passed else "[bold red]NO[/]"
        cells = (_observed(result), str(result.metadata["expected"]), result.description)
        # What was found may hold brackets, which are no markup.
        table.add_row(result.name, result.severity, passed, *map(Text, cells))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    reports = {str(result.metadata["report"]) for result in results if "report" in result.metadata}
    for report in sorted(reports):
        console.print(Text(f"drift report: {report}"), soft_wrap=True)
    failed = [result for result in results if not result.passed]
    critical = sum(result.severity == "critical" for result in failed)
    console.print(f"{len(results)} checks: {critical} critical and {len(failed) - critical} warnings failed")


def _observed(result: CheckResult) -> str:
    observed = result.metadata["observed"]
    found = f"{observed:.4g}" if isinstance(observed, float) else str(observed)
    examples = result.metadata.get("examples")
    return f"{found}: {'; '.join(examples)}" if isinstance(examples, list) and examples else found


if __name__ == "__main__":
    sys.exit(main())
