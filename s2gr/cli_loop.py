"""``s2gr drift``: what an on-call person asks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s2gr.cli_common import AsJson, ParamsFiles, Workdir, one_line_errors, params_of, stdout

app = typer.Typer()


@app.command()
def drift(
    current: Annotated[
        Path | None, typer.Option(help="Parquet, CSV or JSONL of events: look at these, not at what has landed since.")
    ] = None,
    as_json: AsJson = False,
    params: ParamsFiles = None,
    workdir: Workdir = Path(),
) -> None:
    """Have the newest events drifted away from what the published model was trained on? Exits with 1 on an alarm."""
    with one_line_errors():
        from data_checks import drift as checking
        from data_checks.drift_table import print_drift
        from s2gr.console import set_up_logging
        from s2gr.workspace import Workspace

        set_up_logging()
        results = checking.check(workdir, params_of(Workspace(workdir), params), current)
        if as_json:
            typer.echo(checking.as_json(results))
        else:
            print_drift(results, stdout())
        if not all(result.passed for result in results):
            raise typer.Exit(1)
