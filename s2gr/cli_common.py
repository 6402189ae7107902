"""What all commands share: options, the console, and errors in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from s2gr.params import Params
    from s2gr.workspace import Workspace

ParamsFiles = Annotated[
    list[Path] | None, typer.Option("--params", help="Parameter file; given again, an overlay: the last one wins.")
]
Workdir = Annotated[Path, typer.Option(help="The folder of the artefacts.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def params_of(workspace: Workspace, files: list[Path] | None) -> Params:
    """The parameters that the artefacts were made with, unless others are given."""
    from s2gr import made_with
    from s2gr.params import load_params

    return load_params(files) if files else made_with.params_of(workspace)


def one_thread(params: Params) -> Params:
    """With one thread unless a number was asked for: a few histories are too little work to share."""
    runtime = params.runtime
    return params.model_copy(update={"runtime": runtime.model_copy(update={"threads": runtime.threads or 1})})


def stdout() -> Console:
    """A console for tables; off a terminal their width does not hang on the environment's default of 80."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


@contextmanager
def one_line_errors(interrupted: str = "interrupted") -> Iterator[None]:
    """A user's mistake is one line and exit code 2; an interrupt says what is left, and is 130."""
    from s2gr.errors import UserError, explained

    try:
        with explained():
            yield
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo(interrupted, err=True)
        raise typer.Exit(130) from None
