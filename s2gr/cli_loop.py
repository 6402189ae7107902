"""``s2gr drift``, ``s2gr alerts``: what an on-call person asks."""

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


@app.command()
def alerts(
    send: Annotated[bool, typer.Option("--send", help="Try at once to send what waits.")] = False,
    test: Annotated[bool, typer.Option("--test", help="Send a test alert to every receiver.")] = False,
    as_json: AsJson = False,
    workdir: Workdir = Path(),
) -> None:
    """List the alerts and whether each was delivered. Exits with 1 if one that was tried now was not."""
    with one_line_errors("interrupted; what is not sent waits"):
        from s2gr import alerts_shown
        from s2gr.alerts import deliver
        from s2gr.console import set_up_logging
        from s2gr.workspace import Workspace

        set_up_logging()
        workspace = Workspace(workdir)
        if test:
            alerts_shown.post_test(workspace)
        if send or test:
            deliver(workspace, everything=True)
        if as_json:
            typer.echo(alerts_shown.as_json(workspace))
        else:
            alerts_shown.print_alerts(workspace, stdout())
        if (send or test) and alerts_shown.waiting(workspace):
            raise typer.Exit(1)


@app.command()
def replay(
    weeks: Annotated[int, typer.Option(min=1, help="The last weeks of the log, which land one by one.")] = 6,
    plant_drift: Annotated[
        int | None, typer.Option(min=1, metavar="WEEK", help="In this week a third of the events move.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="A folder of interactions and items; default: the project's source.")
    ] = None,
    workdir: Annotated[Path, typer.Option(help="A folder for all of it, new or empty.")] = Path("replay"),
) -> None:
    """Live through the last weeks of a log, in half an hour: landing, drift, alarms, retraining, gate, in Dagster."""
    import subprocess
    import sys

    options = {"--weeks": weeks, "--plant-drift": plant_drift, "--data": data, "--workdir": workdir}
    given = [str(part) for name, value in options.items() if value is not None for part in (name, value)]
    # A program of its own: nothing in s2gr knows its orchestrator.
    raise typer.Exit(subprocess.run([sys.executable, "-m", "orchestration.replay", *given], check=False).returncode)
