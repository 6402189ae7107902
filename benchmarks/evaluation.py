"""What evaluating a trained model costs, and which part of it is S²GR's own ranking.

`python -m benchmarks.evaluation --workdir W --params FILE` evaluates the model of a folder in which the pipeline ran,
into a folder that is thrown away. *Ranking* is what any evaluation of S²GR does: encode, walk, search and fuse, decode
once more along the true codes, and again with its thoughts altered. All else is the evaluation's own: loading, the
baselines, slices, bootstrap, the page.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import torch
import typer
from rich.console import Console

from benchmarks.report import row, write_rows
from s2gr.console import set_up_logging
from s2gr.evaluation import stage
from s2gr.params import Params, load_params
from s2gr.reasoner.recommender import Recommender
from s2gr.workspace import Workspace

# Called for batches side by side, by all threads; none of them calls another.
_RANKING = ((Recommender, "encode"), (Recommender, "walk_scores"), (stage, "observe"))


class Stopwatch:
    """Seconds on the clock that calls take, added up over all threads; calls within calls are not counted twice."""

    def __init__(self) -> None:
        self.seconds, self._lock, self._thread = 0.0, threading.Lock(), threading.local()

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            if getattr(self._thread, "inside", False):
                return function(*arguments, **named)
            self._thread.inside, started = True, time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self._thread.inside = False
                with self._lock:
                    self.seconds += time.perf_counter() - started

        return run


@contextmanager
def timed(*named: tuple[Any, str]) -> Iterator[Stopwatch]:
    """Time the attributes ``named`` while the block runs."""
    watch = Stopwatch()
    with ExitStack() as stack:
        for owner, name in named:
            stack.enter_context(mock.patch.object(owner, name, watch.timed(getattr(owner, name))))
        yield watch


def measure(params: Params, workspace: Workspace) -> tuple[int, float, float]:
    """Users, seconds on the clock, and how many of these were spent outside the ranking."""
    with (
        tempfile.TemporaryDirectory() as folder,
        timed((stage, "rank_intervened")) as alone,
        timed(*_RANKING, (Recommender, "rankings_under")) as shared,
    ):
        outputs = Workspace(Path(folder))
        (outputs.root / "reports").mkdir()
        started = time.perf_counter()
        users = stage.run(params, workspace, outputs)["protocol"]["users"]
        seconds = time.perf_counter() - started
    # What happens inside an intervention was counted by both.
    ranking = alone.seconds + (shared.seconds - alone.seconds) / torch.get_num_threads()
    return users, seconds, seconds - ranking


def main(
    workdir: Annotated[Path, typer.Option(help="A folder in which the pipeline ran.")],
    params: Annotated[list[Path] | None, typer.Option(help="Those that it ran with.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    json: Annotated[Path | None, typer.Option("--json", help="Write the rows there.")] = None,
) -> None:
    set_up_logging()
    used = load_params(params or [], settings or [])
    found = [measure(used, Workspace(workdir)) for _ in range(rounds)]
    users = found[0][0]
    seconds, outside = (statistics.median(times) for times in list(zip(*found, strict=True))[1:])
    told = f"{users:,} users, beam {used.evaluation.beams[0]}, {torch.get_num_threads()} threads, medians of {rounds}"
    Console().print(f"{told}: {seconds:.1f} s, of which {outside:.1f} s outside the ranking")
    if json:
        write_rows(
            json, [row("evaluation: seconds", seconds, users=users), row("outside the ranking: seconds", outside)]
        )


if __name__ == "__main__":
    typer.run(main)
