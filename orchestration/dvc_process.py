"""One `dvc repro` of one stage, as the process that Dagster Pipes starts.

    python -m orchestration.dvc_process TRANSCRIPT STAGE [--force]

It adds to the bare command what a caller without a terminal needs. DVC ignores an interrupt while its command runs
(on a terminal the command gets it too), so an interrupt is passed to the whole process group. DVC gives up when
another DVC holds a lock, so it is asked again until that one is done, and people are told if that takes long. And all
that is said goes to stdout and to a transcript, from which the asset learns why a stage failed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from orchestration.rwlock import drop_stale

# What DVC 3 says when a lock is held: the repository's (dvc/lock.py), or a path's (dvc/rwlock.py).
LOCKED = ("Unable to acquire lock", "is busy, it is being blocked by")
STAGE_STARTED = "Running stage '"
# Seconds between two attempts, and in all: a training at a terminal may hold its stage for hours.
PAUSE = float(os.environ.get("S2GR_DVC_PAUSE", "5"))
PATIENCE = 24 * 3600.0
# Seconds after which people are told that it waits.
TOLD = 1800.0


def repro(stage: str, force: bool, transcript: Path) -> int:
    """Run DVC until it is not locked out. Returns its exit code; the transcript holds the last attempt."""
    command = [sys.executable, "-m", "dvc", "repro", "--single-item", stage, *(["--force"] if force else [])]
    begun, told = time.monotonic(), False
    while True:
        drop_stale(Path.cwd())
        code = _attempt(command, transcript)
        said = transcript.read_text(encoding="utf-8")
        locked = code != 0 and STAGE_STARTED not in said and any(mark in said for mark in LOCKED)
        waited = time.monotonic() - begun
        if not locked or waited > PATIENCE:
            break
        if waited > TOLD and not told:
            told = True
            _tell_people(stage, said)
        print(f"another DVC is at work; trying {stage} again in {PAUSE:g} s", flush=True)
        time.sleep(PAUSE)
    if STAGE_STARTED not in said:
        _tell_dagster(said)
    return code


def _attempt(command: list[str], transcript: Path) -> int:
    started: list[subprocess.Popen[str]] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if not started:
            sys.exit(128 + number)
        os.killpg(started[0].pid, number)

    # Before the start: what a process ignores, as one in the background of a script does, its children ignore too;
    # what it handles, they have by default.
    previous = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with transcript.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
            started.append(process)
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                file.flush()
                print(line, end="", flush=True)
            return process.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _tell_people(stage: str, said: str) -> None:
    # Only now: it takes its time, and is hardly ever needed.
    from orchestration.dvc_project import PROJECT
    from orchestration.notices import waiting_stage
    from s2gr.workspace import Workspace

    # The project that Dagster watches, also where the stage is that of a retraining's copy.
    waiting_stage(Workspace(PROJECT.root), stage, f"{os.getpid()}-{time.time():.0f}", Path.cwd(), said.strip())


def _tell_dagster(said: str) -> None:
    """The stage itself did not run, so nobody else reports through Pipes; a silent process would look broken."""
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        pipes.log.info("DVC: %s", said.strip() or "nothing to do")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m orchestration.dvc_process")
    parser.add_argument("transcript", type=Path)
    parser.add_argument("stage")
    parser.add_argument("--force", action="store_true")
    arguments = parser.parse_args()
    sys.exit(repro(arguments.stage, arguments.force, arguments.transcript))


if __name__ == "__main__":
    main()
