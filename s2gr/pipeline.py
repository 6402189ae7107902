"""All stages in a folder of their own, without DVC and Dagster: what ``s2gr run`` does.

A stage whose last run still holds is skipped, so an interrupted run goes on where it stopped. One run at a time owns
the folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from s2gr.console import log
from s2gr.errors import UserError
from s2gr.freshness import Fingerprint, fingerprint, reason_to_run, record
from s2gr.params import Params
from s2gr.stage import STAGES, execute
from s2gr.workspace import Workspace, hold

# The parameters that are paths, from where the command is called.
_PATHS = (("source", "path"), ("content", "frozen"), ("codebook", "warm_start"), ("sids", "previous"))


class StageFailed(Exception):
    """A stage that ran in a process of its own has told its error there."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


def run_all(params: Params, workspace: Workspace, until: str = STAGES[-1], force: bool = False) -> list[str]:
    """Run the stages up to and including ``until``, except those whose last run still holds.

    Args:
        force: run them all the same.

    Returns: the stages that ran.
    Raises: UserError: what a stage raises, with its name; a folder that is busy, read-only, DVC's or the source's.
    """
    if until not in STAGES:
        raise UserError(f"--until: expected one of {', '.join(STAGES)}, found {until!r}")
    ran = []
    _refuse_inside_source(params, workspace)
    with _owned(workspace):
        _save_params(params, workspace)
        for stage in STAGES[: STAGES.index(until) + 1]:
            now = fingerprint(stage, params, workspace)
            reason = "--force" if force else reason_to_run(stage, now, workspace)
            if reason is None:
                log.info("%s: up to date", stage)
                continue
            log.info("%s: runs, because %s", stage, reason)
            _run(stage, params, workspace, now)
            ran.append(stage)
            after = fingerprint(stage, params, workspace)
            if after == now:
                record(stage, now, workspace)
            else:
                # What made the result can't be told: it is used, and made again next time.
                changed = "its code" if after.code != now.code else "what it read"
                log.warning("%s: %s changed while it ran; the next run will run it again", stage, changed)
    return ran


def _run(stage: str, params: Params, workspace: Workspace, worked_from: Fingerprint) -> None:
    if params.runtime.devices > 1:
        # DDP starts its other processes as copies of this one: they must be this stage, not the whole run.
        files = ["--params", str(workspace.params), "--workdir", str(workspace.root)]
        code = subprocess.run([sys.executable, "-m", f"s2gr.{stage}", *files], check=False).returncode
        if code:
            raise StageFailed(code)
        return

    def verify() -> None:
        after = fingerprint(stage, params, workspace).inputs
        changed = sorted(file for file in after if after[file] != worked_from.inputs.get(file))
        if changed:
            raise UserError(f"{changed[0]} changed while it ran; the outputs are as they were, run it again")

    try:
        # `events` sees to its files itself: what lands meanwhile is read, too.
        execute(stage, params, workspace, None if stage == "events" else verify)
    except UserError as error:
        raise UserError(f"{stage}: {error}") from error


def _save_params(params: Params, workspace: Workspace) -> None:
    told = params.model_dump(mode="json")
    # Whoever reads them later may stand in another folder.
    for section, name in _PATHS:
        if told[section][name] is not None:
            told[section][name] = os.path.abspath(told[section][name])
    model = told["content"]["model"]
    if model and os.path.isdir(model):
        told["content"]["model"] = os.path.abspath(model)
    path = workspace.params
    temporary = path.with_suffix(".tmp")
    temporary.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
    os.replace(temporary, path)


def _refuse_inside_source(params: Params, workspace: Workspace) -> None:
    """The stages' artefacts have the columns of landed files."""
    source = params.source
    if source.kind == "files" and workspace.root.resolve().is_relative_to(source.path.resolve()):
        raise UserError(
            f"--workdir {workspace.root} lies in source.path ({source.path}), where the artefacts would count as "
            "landed files; give a folder outside of it"
        )


@contextmanager
def _owned(workspace: Workspace) -> Iterator[None]:
    """Hold the folder's lock, which the system releases however this process ends."""
    if (workspace.root / "dvc.yaml").exists():
        raise UserError(
            f"{workspace.root.absolute()} is a DVC project, whose artefacts DVC keeps; "
            "use `make pipeline` or `dvc repro` there, or give another --workdir"
        )
    try:
        workspace.state.mkdir(parents=True, exist_ok=True)
        lock = (workspace.state / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--workdir {workspace.root}: can't be written ({error.strerror}); give another folder"
        ) from error

    def refuse(process: str) -> None:
        raise UserError(
            f"{workspace.root} is busy: another `s2gr run` (process {process}) works there; "
            "wait for it, or give another --workdir"
        )

    with lock:
        hold(lock, refuse)
        yield
