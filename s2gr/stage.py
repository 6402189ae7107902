"""How a stage runs, whoever calls it: ``python -m s2gr.<stage>`` (DVC, Dagster) or ``s2gr run``.

A stage is one function ``run(params, inputs, outputs) -> metrics``. It reads artefacts below ``inputs``, writes its own
below ``outputs`` (a staging folder that is moved into place when it is whole), and returns its metrics, which become
``reports/<stage>.json``.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib
import os
import resource
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from s2gr.console import log, set_up_logging
from s2gr.errors import UserError, explained
from s2gr.params import Params, load_params
from s2gr.pipes import forwarded_log
from s2gr.stopwatch import Effort, stopwatch
from s2gr.unchanged import watch
from s2gr.workspace import Workspace, read_json, write_json

STAGES = ("events", "content", "cooccurrence", "codebook", "sids", "reasoner", "evaluation", "recommendations")

# What a stage reads of the parameters besides `runtime` and the section of its name.
_EXTRA_SECTIONS: dict[str, tuple[str, ...]] = {"events": ("source",), "content": ("source",)}

Metrics = Mapping[str, Any]


def sections_of(stage: str) -> tuple[str, ...]:
    """The sections of the parameters that a stage reads."""
    return ("runtime", stage, *_EXTRA_SECTIONS.get(stage, ()))


class StageFunction(Protocol):
    def __call__(self, params: Params, inputs: Workspace, outputs: Workspace) -> Metrics: ...


def stage_function(stage: str) -> StageFunction:
    """``run`` of ``s2gr/<stage>/stage.py``, imported only now: most commands need few of them."""
    function: StageFunction = importlib.import_module(f"s2gr.{stage}.stage").run
    return function


def execute(stage: str, params: Params, workspace: Workspace, verify: Callable[[], None] | None = None) -> Metrics:
    """Run one stage: staging, metrics, and the time it took (in ``.s2gr/timings.json``; a training that was killed and
    goes on counts from its beginning).

    ``verify`` is called when the outputs are whole and not yet in place; what it raises leaves the old ones there.
    """
    with stopwatch() as watch, explained(), workspace.publishing(stage) as outputs:
        metrics = stage_function(stage)(params, workspace, outputs)
        write_json(metrics, outputs.report(stage))
        if verify is not None:
            verify()
    # Under DDP every process runs the stage.
    if os.environ.get("LOCAL_RANK", "0") == "0":
        shutil.rmtree(workspace.unfinished(stage), ignore_errors=True)
        _record_timing(workspace, stage, watch.read())
    return metrics


def main(stage: str) -> None:
    """The command line of one stage; exits with 2 and one line on a :class:`UserError`."""
    parser = argparse.ArgumentParser(prog=f"python -m s2gr.{stage}", description=f"Run the stage `{stage}`.")
    parser.add_argument("--params", type=Path, action="append", help="params.yaml and overlays, the last one wins")
    parser.add_argument("--workdir", type=Path, default=Path(), help="the folder of the artefacts")
    arguments = parser.parse_args()
    set_up_logging()
    try:
        files = arguments.params or [Path("params.yaml")]
        with forwarded_log():
            params = load_params(files)
            execute(
                stage,
                params,
                Workspace(arguments.workdir),
                verify=watch(sections_of(stage), files, params),
            )
    except UserError as error:
        print(f"error: {stage}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"{stage}: interrupted; nothing was published", file=sys.stderr)
        sys.exit(130)


def read_timings(workspace: Workspace) -> dict[str, Any]:
    """What the last run of each stage took. No artefact: where it is lost or damaged, nothing is known."""
    try:
        told = read_json(workspace.state / "timings.json")
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _record_timing(workspace: Workspace, stage: str, effort: Effort) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux KiB.
    peak_mb = peak / 1024 / (1024 if sys.platform == "darwin" else 1)
    took = {
        "seconds": round(effort.seconds, 2),
        "cpu_seconds": round(effort.cpu_seconds, 2),
        "peak_mb": round(peak_mb),
    }
    path = workspace.state / "locks/timings"
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two stages may end at once.
    with path.open("a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        write_json({**read_timings(workspace), stage: took}, workspace.state / "timings.json")
    log.info("%s: done in %.1f s", stage, effort.seconds)
