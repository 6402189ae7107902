"""Where every artefact lies, and how a stage's outputs appear: all of them or none."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from s2gr.errors import UserError


@dataclass(frozen=True)
class Workspace:
    """The paths of all artefacts below one folder (docs/architecture.md lists their columns)."""

    root: Path

    @property
    def events(self) -> Path:
        return self.root / "data/events.parquet"

    @property
    def items(self) -> Path:
        return self.root / "data/items.parquet"

    @property
    def quarantine(self) -> Path:
        return self.root / "data/quarantine.parquet"

    @property
    def batches(self) -> Path:
        """What became of every landed file."""
        return self.root / "data/batches.parquet"

    @property
    def content(self) -> Path:
        return self.root / "data/content.parquet"

    @property
    def cooccurrence(self) -> Path:
        return self.root / "data/cooccurrence.parquet"

    @property
    def aligned(self) -> Path:
        return self.root / "data/aligned.parquet"

    @property
    def codebook(self) -> Path:
        return self.root / "models/codebook"

    @property
    def sids(self) -> Path:
        return self.root / "data/sids.parquet"

    @property
    def reasoner(self) -> Path:
        return self.root / "models/reasoner"

    @property
    def recommendations(self) -> Path:
        return self.root / "data/recommendations.parquet"

    @property
    def published(self) -> Path:
        """The versions that were published, and ``current``; no stage's output."""
        return self.root / "models/published"

    @property
    def reference_log(self) -> Path:
        """In a bundle only: the log that drift is measured against."""
        return self.root / "drift/log.parquet"

    @property
    def state(self) -> Path:
        """What is not an artefact: downloads, checkpoints, timings, half-written outputs."""
        return self.root / ".s2gr"

    def unfinished(self, stage: str) -> Path:
        """A folder for what a killed stage goes on from; gone when the stage's outputs are in place."""
        return self.state / "unfinished" / stage

    @property
    def option(self) -> str:
        """What a command that is proposed to people needs to find it; nothing where they are in it."""
        return "" if str(self.root) == "." else f" --workdir {shlex.quote(str(self.root))}"

    @property
    def params(self) -> Path:
        """The parameters of the last `s2gr run` in this folder."""
        return self.state / "params.yaml"

    def report(self, stage: str) -> Path:
        """All figures of a stage."""
        return self.root / f"reports/{stage}.json"

    @property
    def headline(self) -> Path:
        """The few figures that a run is judged by: what `dvc metrics show` and `dvc metrics diff` print."""
        return self.root / "reports/metrics.json"

    @property
    def ranks(self) -> Path:
        """Where the target of each test user stands in each system's list: what comparisons over users are made of."""
        return self.root / "reports/ranks.parquet"

    def plot(self, name: str) -> Path:
        """A table that DVC plots and Dagster draws."""
        return self.root / f"reports/{name}.csv"

    @contextmanager
    def publishing(self, stage: str) -> Iterator[Workspace]:
        """A workspace to write into; its files move to this one when the block ends without an error.

        A run that dies leaves the outputs as they were; its staging folder is swept by the next run, and a folder that
        was about to be replaced comes back.

        Raises: UserError: another process is at this stage in this folder.
        """
        staging_parent = self.state / "staging"
        staging_parent.mkdir(parents=True, exist_ok=True)
        sweep(staging_parent, stage)
        # Under DDP every process runs the stage; the first one's files are the result.
        first = os.environ.get("LOCAL_RANK", "0") == "0"
        with self._alone(stage) if first else nullcontext():
            if first:
                self._settle(stage)
            staging = Path(tempfile.mkdtemp(prefix=f"{stage}-{os.getpid()}-", dir=staging_parent))
            try:
                yield Workspace(staging)
                for source in _outputs(staging, stage) if first else ():
                    _replace(source, self.root / source.relative_to(staging), self._aside(stage))
            finally:
                shutil.rmtree(staging, ignore_errors=True)
                if first:
                    self._settle(stage)

    def _aside(self, stage: str) -> Path:
        """Where the old folders of ``models`` wait until the new ones are in their places."""
        return self.state / "aside" / stage

    def _settle(self, stage: str) -> None:
        """What stepped aside goes, or comes back if nothing took its place."""
        for aside in self._aside(stage).glob("*"):
            target = self.root / "models" / aside.name
            if target.exists():
                # Renamed first: what comes back must be whole.
                gone = self.state / "staging" / f"{stage}-{os.getpid()}-{aside.name}.old"
                os.replace(aside, gone)
                shutil.rmtree(gone, ignore_errors=True)
            else:
                os.replace(aside, target)

    @contextmanager
    def _alone(self, stage: str) -> Iterator[None]:
        """Hold the stage's lock, which the system releases however this process ends."""
        path = self.state / "locks" / stage
        path.parent.mkdir(exist_ok=True)

        def refuse(process: str) -> None:
            raise UserError(
                f"the stage {stage} runs in {self.root.absolute()} already (process {process}); "
                "wait for it, or give another --workdir"
            )

        with path.open("a+", encoding="utf-8") as lock:
            hold(lock, refuse)
            yield


def _outputs(staging: Path, stage: str) -> list[Path]:
    """The folders below ``models`` as wholes, then the files, the stage's report last."""
    models = sorted(path for path in (staging / "models").glob("*") if path.is_dir())
    files = sorted(
        path for path in staging.rglob("*") if path.is_file() and not any(model in path.parents for model in models)
    )
    report = Workspace(staging).report(stage)
    return models + sorted(files, key=lambda path: path == report)


def _replace(source: Path, target: Path, aside: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir() and target.exists():
        # A folder can't be swapped in one call; the old one steps aside first, and is removed last.
        aside.mkdir(parents=True, exist_ok=True)
        os.replace(target, aside / target.name)
    os.replace(source, target)


def sweep(parent: Path, prefix: str) -> None:
    """Remove the folders ``{prefix}-{pid}-…`` of processes that were killed before they could."""
    for leftover in parent.glob(f"{prefix}-*-*"):
        pid = leftover.name.removeprefix(f"{prefix}-").split("-")[0]
        if pid.isdecimal() and not alive(int(pid)):
            shutil.rmtree(leftover, ignore_errors=True)


def hold(lock: TextIO, busy: Callable[[str], None]) -> None:
    """Lock a file until it is closed, which the system does however this process ends; it holds the process's number.

    Args:
        lock: open to read and append.
        busy: called with the number of the process that has it; if that raises nothing, the other is waited for.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        busy(lock.read().strip() or "unknown")
        fcntl.flock(lock, fcntl.LOCK_EX)
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()


def alive(pid: int) -> bool:
    """Is there a process ``pid``, whoever's it is?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def readable_artefact(path: Path, columns: list[str]) -> Path:
    """``path``, once its Parquet footer was seen to hold ``columns``: for SQL that streams from the file.

    Raises: UserError: if it is missing, damaged, or lacks one of ``columns``.
    """
    if not path.exists():
        raise UserError(f"{path} is missing: run the stage that makes it first (`dvc repro`, or `s2gr run`)")
    with _whole(path):
        found = pq.read_schema(path).names
    missing = sorted(set(columns) - set(found))
    if missing:
        raise UserError(f"{path}: expected column {', '.join(missing)}, found {', '.join(found)}")
    return path


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet artefact of an earlier stage.

    Raises: UserError: if it is missing, damaged, or lacks one of ``columns``.
    """
    readable_artefact(path, columns or [])
    # Not `pq.read_table`, which imports pandas for what it does beyond this.
    with _whole(path), pq.ParquetFile(path, memory_map=True) as file:
        table = file.read(columns)
    return table.select(columns) if columns else table


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is not a readable Parquet file ({error}); delete it and run `dvc repro`") from error


def write_table(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(data: Mapping[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
