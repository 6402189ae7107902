"""``s2gr publish``, ``s2gr versions``, ``s2gr rollback``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from s2gr.cli_common import AsJson, ParamsFiles, Workdir, one_line_errors, params_of, stdout

app = typer.Typer()


@app.command()
def publish(
    force: Annotated[
        bool, typer.Option("--force", help="Even if it is withdrawn, older than what is served, or fails checks.")
    ] = False,
    params: ParamsFiles = None,
    workdir: Workdir = Path(),
) -> None:
    """Publish the evaluated model as a version of its own in models/published, and serve it."""
    with one_line_errors("interrupted; what was served is still served"):
        from s2gr.publish.checked import publish_checked
        from s2gr.publish.shown import told
        from s2gr.workspace import Workspace

        workspace = Workspace(workdir)
        outcome = publish_checked(workspace, params_of(workspace, params), force)
        typer.echo(told(outcome, workspace))
        if outcome.kind == "rejected":
            raise typer.Exit(1)


@app.command()
def versions(as_json: AsJson = False, workdir: Workdir = Path()) -> None:
    """List the published versions and which one is served."""
    with one_line_errors():
        from s2gr.publish.shown import print_versions, versions_as_json
        from s2gr.workspace import Workspace

        published = Workspace(workdir).published
        if as_json:
            typer.echo(versions_as_json(published))
        else:
            print_versions(published, stdout())


@app.command()
def rollback(
    version: Annotated[str | None, typer.Argument(help="Default: the newest before the one that is served.")] = None,
    workdir: Workdir = Path(),
) -> None:
    """Serve an earlier version again; the one left is withdrawn until `s2gr rollback VERSION` or `publish --force`."""
    with one_line_errors("interrupted; what was served is still served"):
        from s2gr.publish.versions import rollback as go_back
        from s2gr.workspace import Workspace

        workspace = Workspace(workdir)
        found = go_back(workspace.published, version)
        typer.echo(
            f"serving {found.version}; {found.left} is withdrawn: "
            f"`s2gr rollback {found.left}{workspace.option}` serves it again"
            if found.left != found.version
            else f"serving {found.version}, as before"
        )
