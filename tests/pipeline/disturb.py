"""Every stage disturbed, then run again: `disturb.py killed|full|limited WORKDIR PARAMS DVC_YAML`.

A process of its own, so that everything is imported once and each attempt is a child of it that runs the stage's
command. Exits with 1 and what was found if a stage left something half-written or ends with other bytes.

killed: with SIGKILL at random points. A point is an operation on a file of the workspace, drawn among those of an
    undisturbed run, and up to 30 ms more.
full: while the disk is; WORKDIR must be on a small one of its own.
limited: while no file may be larger than 1,024 bytes.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from s2gr.stage import STAGES, main, stage_function

WATCHED = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "tempfile.mkdtemp"}
POINTS = dict.fromkeys(STAGES, 1) | {"events": 2, "reasoner": 2}
LONGEST = 0.03

disturbance, workdir, params = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
declared = yaml.safe_load(Path(sys.argv[4]).read_text(encoding="utf-8"))["stages"]
chance = random.Random(0)


def digests(paths: list[Path]) -> dict[str, bytes]:
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    return {str(file.relative_to(workdir)): file.read_bytes() for file in files}


def outputs_of(stage: str) -> list[Path]:
    return [workdir / path for key in ("outs", "metrics") for path in declared[stage].get(key, [])]


def remove(paths: list[Path]) -> None:
    """As DVC does before it runs a stage."""
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def attempt(stage: str, point: int = 0, pause: float = 0.0, limit: int | None = None) -> tuple[int, int, str]:
    """Run the stage's command in a child, to be killed at ``point``, with files of ``limit`` bytes at most.

    Returns: how it ended, after how many operations, and what it said.
    """
    readable, writable = os.pipe()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        child = os.fork()
        if not child:
            os.dup2(said.fileno(), 2)
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            be_the_stage(stage, point, pause, writable)
        os.close(writable)
        _, status = os.waitpid(child, 0)
        with os.fdopen(readable) as told:
            operations = told.read()
        said.seek(0)
        return os.waitstatus_to_exitcode(status), int(operations or 0), said.read()


def be_the_stage(stage: str, point: int, pause: float, told: int) -> None:
    """In the child; does not return."""
    seen = 0

    def count(event: str, arguments: Any) -> None:
        nonlocal seen
        if event in WATCHED and arguments and str(arguments[0]).startswith(str(workdir)):
            seen += 1
            if seen == point:
                threading.Thread(target=die, args=(pause,)).start() if pause else die(0)

    sys.addaudithook(count)
    sys.argv = [stage, "--params", params, "--workdir", str(workdir)]
    code = 0
    try:
        main(stage)
    except SystemExit as left:
        code = int(left.code or 0)
    except BaseException as error:
        print(f"{stage}: {error!r}", file=sys.stderr)
        code = 3
    os.write(told, f"{seen}".encode())
    os._exit(code)


def die(pause: float) -> None:
    time.sleep(pause)
    os.kill(os.getpid(), signal.SIGKILL)


def demand(holds: bool, what: str) -> None:
    if not holds:
        print(what, file=sys.stderr)
        sys.exit(1)


def kill_and_repeat(stage: str) -> list[int]:
    outputs = outputs_of(stage)
    remove(outputs)
    code, operations, _ = attempt(stage)
    demand(code == 0, f"{stage}: undisturbed it ends with {code}")
    undisturbed = digests(outputs)
    points = []
    while len(points) < POINTS[stage]:
        # By turns as DVC leaves it and as `s2gr run` does.
        if len(points) % 2 == 0:
            remove(outputs)
        point = chance.randint(1, operations)
        code, *_ = attempt(stage, point, chance.choice([0.0, chance.uniform(0, LONGEST)]))
        if code == 0:
            # It was at its end before its time had come.
            continue
        demand(code == -signal.SIGKILL, f"{stage}, killed at {point} of {operations}: ended with {code}")
        points.append(point)
        left = digests(outputs)
        wrong = [name for name, content in left.items() if undisturbed.get(name) != content]
        demand(not wrong, f"{stage}, killed at {point} of {operations}: {', '.join(wrong)} half-written")
        whole = f"reports/{stage}.json" not in left or left == undisturbed
        demand(whole, f"{stage}, killed at {point} of {operations}: the report is there, and not all that it reports")
    code, *_ = attempt(stage)
    demand(code == 0, f"{stage}, after it was killed: ended with {code}")
    demand(digests(outputs) == undisturbed, f"{stage}, after it was killed: other bytes than undisturbed")
    demand(not list((workdir / ".s2gr/staging").iterdir()), f"{stage}: its staging folder was not swept")
    return points


def fill(left: int) -> Path:
    """Write until the disk has no more than ``left`` bytes."""
    filler = workdir / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 20, 4096):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
        file.truncate(file.tell() - left)
    return filler


def starve_and_repeat(stage: str) -> str:
    """Run the stage where it can't write its outputs; returns what it says."""
    outputs = outputs_of(stage)
    before = digests(outputs)
    demand(bool(before), f"{stage}: it has not run")
    if disturbance == "full":
        filler = fill(4096)
        code, _, said = attempt(stage)
        filler.unlink()
    else:
        code, _, said = attempt(stage, limit=1024)
    demand(code == 2, f"{stage}: without room it ends with {code}, and says {said[-3000:]}")
    demand(digests(outputs) == before, f"{stage}: without room its outputs are not the old ones")
    left = [
        path for path in workdir.rglob("*") if path.is_file() and ("staging" in path.parts or path.suffix == ".tmp")
    ]
    demand(not left, f"{stage}: without room it leaves {left}")
    code, *_ = attempt(stage)
    demand(code == 0, f"{stage}: with room again it ends with {code}")
    demand(digests(outputs) == before, f"{stage}: with room again it writes other bytes")
    return said.splitlines()[-1]


if __name__ == "__main__":
    for name in STAGES:
        stage_function(name)
    importlib.import_module("great_expectations")
    disturb = kill_and_repeat if disturbance == "killed" else starve_and_repeat
    # One for each library that writes: DuckDB, Arrow, safetensors.
    stages = ("events", "content", "reasoner") if disturbance == "limited" else STAGES
    print(json.dumps({stage: disturb(stage) for stage in stages}))
