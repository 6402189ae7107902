"""What people type, `s2gr …`; each command imports what it needs when it runs."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from s2gr import __version__, cli_loop, cli_publish, cli_serve
from s2gr.cli_common import ParamsFiles, Workdir, one_line_errors, params_of, stdout

app = typer.Typer(
    name="s2gr",
    help="S²GR: a recommender that reasons step by step over semantic IDs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_publish.app)
app.add_typer(cli_serve.app)
app.add_typer(cli_loop.app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"s2gr {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """S²GR: a recommender that reasons step by step over semantic IDs."""


@app.command()
def run(
    workdir: Annotated[Path, typer.Option(help="Where the artefacts go: a folder of this run's own.")],
    params: ParamsFiles = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one parameter; repeatable.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Run the stages that are up to date, too.")] = False,
) -> None:
    """Run all stages in a folder of their own; those that are up to date are skipped.

    Without --params, ./params.yaml is taken if there is one, else the defaults.
    """
    with one_line_errors("interrupted; finished stages are kept, the same command goes on from there"):
        from s2gr.console import set_up_logging
        from s2gr.params import load_params
        from s2gr.pipeline import StageFailed, run_all
        from s2gr.publish.checked import publish_checked
        from s2gr.publish.shown import told
        from s2gr.stage import STAGES
        from s2gr.summary import print_summary
        from s2gr.workspace import Workspace

        set_up_logging()
        files = params or [path for path in (Path("params.yaml"),) if path.exists()]
        workspace = Workspace(workdir)
        last = until or STAGES[-1]
        try:
            made_with = load_params(files, settings or ())
            run_all(made_with, workspace, last, force)
        except StageFailed as failure:
            raise typer.Exit(failure.code) from None
        if last == STAGES[-1]:
            outcome = publish_checked(workspace, made_with)
            print_summary(workspace, stdout())
            typer.echo(told(outcome, workspace))
            if outcome.kind == "rejected":
                raise typer.Exit(1)
        else:
            typer.echo(f"the stages up to {last} are up to date in {workdir}")


@app.command()
def summary(workdir: Workdir = Path()) -> None:
    """Show rankings, semantic IDs, times, and what to do next."""
    with one_line_errors():
        from s2gr.summary import print_summary
        from s2gr.workspace import Workspace

        print_summary(Workspace(workdir), stdout())


@app.command()
def assign(
    items: Annotated[
        Path, typer.Option(help="Parquet, CSV or JSONL: a row per new item, with its text or an `embedding`.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where the IDs go; what is there stays. Default: data/sids_new.parquet.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    params: ParamsFiles = None,
    workdir: Workdir = Path(),
) -> None:
    """Give new items free semantic IDs from the trained codebook; no existing ID changes."""
    with one_line_errors("interrupted; nothing was assigned"):
        from s2gr import assign as assigning
        from s2gr.workspace import Workspace

        workspace = Workspace(workdir)
        found = assigning.assign_new(workspace, params_of(workspace, params), items, out)
        if as_json:
            typer.echo(assigning.as_json(found))
        else:
            assigning.print_assigned(found, stdout())


def main() -> None:
    """The command ``s2gr``."""
    try:
        app()
    finally:
        # Or Python goes through all objects once more before it ends: half a second. DuckDB wants its own released.
        if "duckdb" not in sys.modules:
            gc.freeze()
