"""``s2gr recommend``, ``s2gr explain``, ``s2gr serve``: what reads the published bundle."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2gr.cli_common import AsJson, ParamsFiles, Workdir, one_line_errors, one_thread, params_of, stdout

if TYPE_CHECKING:
    from s2gr.reasoner.recommender import Recommender
    from s2gr.serve.served import Shelf
    from s2gr.workspace import Workspace

app = typer.Typer()

User = Annotated[str | None, typer.Option("--user", "-u", help="A user_id of the log, data/events.parquet.")]
History = Annotated[
    list[str] | None,
    typer.Option("--history", help="Instead of a user: ids or titles, oldest first, with commas; repeatable."),
]
K = Annotated[int, typer.Option("-k", min=1, help="How many items.")]
ExcludeSeen = Annotated[bool, typer.Option("--exclude-seen/--include-seen", help="Leave out what is in the history.")]
Allow = Annotated[Path | None, typer.Option(metavar="FILE", help="Nothing but these items: one id a line.")]
Deny = Annotated[Path | None, typer.Option(metavar="FILE", help="None of these items: one id a line.")]
Fresh = Annotated[int, typer.Option(min=0, help="Keep the last N places for items that came after training.")]


@app.command()
def recommend(
    user: User = None,
    history: History = None,
    k: K = 10,
    exclude_seen: ExcludeSeen = True,
    allow: Allow = None,
    deny: Deny = None,
    fresh: Fresh = 0,
    as_json: AsJson = False,
    params: ParamsFiles = None,
    workdir: Workdir = Path(),
) -> None:
    """Recommend items to a user of the log, or after any history: titles, scores and semantic IDs."""
    with one_line_errors():
        _one_of(user, history)
        with _quick_start():
            from s2gr.serve import recommend as recommending
            from s2gr.workspace import Workspace

            workspace = Workspace(workdir)
            _, recommender = _published(workspace, params)
        wish = recommending.Wish(user, history or (), k, exclude_seen, allow, deny, fresh)
        found = recommending.recommend(recommender, workspace.events, wish)
        if as_json:
            typer.echo(recommending.as_json(found))
        else:
            recommending.print_recommendations(found, stdout())


@app.command()
def explain(
    user: User = None,
    history: History = None,
    k: K = 5,
    exclude_seen: ExcludeSeen = True,
    allow: Allow = None,
    deny: Deny = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with the trees there.")] = None,
    as_json: AsJson = False,
    params: ParamsFiles = None,
    workdir: Workdir = Path(),
) -> None:
    """Recommend, and say why: thoughts, codes, ways not taken, what was read, which source gave how much."""
    with one_line_errors():
        _one_of(user, history)
        with _quick_start():
            from s2gr.serve import explained as explaining
            from s2gr.serve.recommend import Wish
            from s2gr.workspace import Workspace

            workspace = Workspace(workdir)
            folder, recommender = _published(workspace, params)
        explainer = explaining.Explainer(recommender, folder)
        found = explainer.explain(Wish(user, history or (), k, exclude_seen, allow, deny), workspace.events)
        if html:
            from s2gr.serve.explain_page import render

            _write_page(html, render(found))
            typer.echo(f"wrote {html}", err=as_json)
        if as_json:
            typer.echo(explaining.as_json(found))
        elif not html:
            explaining.print_explained(found, stdout())


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = ("127.0.0.1"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    allow: Allow = None,
    deny: Deny = None,
    params: ParamsFiles = None,
    workdir: Workdir = Path(),
) -> None:
    """Serve recommendations, explanations and similar items over HTTP.

    What is published, and the lists, are taken over when they change. API keys come from S2GR_API_KEY.
    """
    with one_line_errors():
        with _quick_start():
            from s2gr.console import set_up_logging
            from s2gr.serve.served import Lists
            from s2gr.serve.server import serve as serving
            from s2gr.workspace import Workspace

            set_up_logging()
            workspace = Workspace(workdir)
            settings = one_thread(params_of(workspace, params))

        def ready(address: str, shelf: Shelf) -> None:
            gc.enable()
            typer.echo(f"serving {shelf.current.version} on {address}, API on {address}/docs")

        serving(workspace.published, settings, Lists(allow, deny), host, port, ready)


def _published(workspace: Workspace, files: list[Path] | None) -> tuple[Path, Recommender]:
    """The bundle that is served, and its recommender."""
    from s2gr.publish.versions import current_bundle
    from s2gr.reasoner.recommender import Recommender
    from s2gr.workspace import Workspace

    folder = current_bundle(workspace.published)
    return folder, Recommender.load(folder, one_thread(params_of(Workspace(folder), files)))


def _write_page(path: Path, text: str) -> None:
    from s2gr.errors import UserError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"--html {path}: can't be written ({error.strerror}); give another file") from error


def _one_of(user: str | None, history: list[str] | None) -> None:
    from s2gr.errors import UserError

    if (user is None) == (not history):
        raise UserError("give either --user USER or --history id1,id2,…")


@contextmanager
def _quick_start() -> Iterator[None]:
    """Imports and loading without collecting garbage, of which they make none: a fifth of their time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
