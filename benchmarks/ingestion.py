"""Landed files to the audited log: events per second and peak memory; and pair counting beside SQL written by hand.

`python -m benchmarks.ingestion [--events 1000000,10000000] [--json F]` makes logs of those sizes (popular and rare
items, sittings, ties, some repeated rows), runs the stage `events` on each as Parquet and as CSV in a process of its
own, and counts co-occurring pairs of the result with every contender of :mod:`benchmarks.pair_counts` in turn. Seconds
of the processor are what counts: those on the clock hang on what else the machine does.
"""

from __future__ import annotations

import json as json_format
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import duckdb
import typer
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.pair_counts import CONTENDERS
from benchmarks.report import commit, machine, row, write_rows
from benchmarks.synthetic_log import write_log
from s2gr.errors import UserError
from s2gr.workspace import read_json

# Events of an item, on average.
_PER_ITEM = 100
_FORMATS = ("parquet", "csv")


def ingest(events: int, folder: Path, threads: int) -> list[dict[str, Any]]:
    """The stage `events` on ``events`` rows, in each format; the workspace of the first stays in ``folder/work``."""
    rows = []
    for kind in _FORMATS:
        landing = folder / kind
        landing.mkdir()
        write_log(landing / "log.parquet", events, max(100, events // _PER_ITEM))
        if kind == "csv":
            _as_csv(landing / "log.parquet", landing / "log.csv")
        workdir = folder / ("work" if kind == _FORMATS[0] else f"work-{kind}")
        params = folder / f"{kind}.yaml"
        source = {"kind": "files", "path": str(landing)}
        params.write_text(yaml.safe_dump({"runtime": {"threads": threads}, "source": source}), encoding="utf-8")
        _run("s2gr.events", "--params", str(params), "--workdir", str(workdir))
        took = read_json(workdir / ".s2gr/timings.json")["events"]
        metrics = read_json(workdir / "reports/events.json")
        rows.append(
            row(
                f"events stage, {events:,} events, {kind}: events per CPU second",
                round(events / took["cpu_seconds"]),
                cpu_seconds=took["cpu_seconds"],
                seconds=took["seconds"],
                peak_gb=round(took["peak_mb"] / 1024, 3),
                kept=metrics["events"],
                threads=threads,
            )
        )
    return rows


def count_pairs(events: int, workdir: Path, threads: int, rounds: int) -> list[dict[str, Any]]:
    """The pipeline's pair counting beside each of the others: medians over rounds in which all take turns."""
    names = [name for name in CONTENDERS if name != "polars" or _installed("polars")]
    seen: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            told = _run("benchmarks.pair_counts", name, "--folder", str(workdir), "--threads", str(threads))
            seen[name].append(json_format.loads(told))
    wrong = [name for name in names if seen[name][0]["digest"] != seen["pipeline"][0]["digest"]]
    if wrong:
        raise UserError(f"{', '.join(wrong)} and the pipeline count different pairs")
    kept = read_json(workdir / "reports/events.json")["train"]
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in ("cpu_seconds", "seconds", "peak_gb")}
        for name, runs in seen.items()
    }
    ours = medians["pipeline"]
    return [
        row(
            f"pairs of {events:,} events beside {name}: training events per CPU second",
            round(kept / ours["cpu_seconds"]),
            round(kept / theirs["cpu_seconds"]),
            peer_name=name,
            cpu_seconds=ours["cpu_seconds"],
            peak_gb=ours["peak_gb"],
            peer_cpu_seconds=theirs["cpu_seconds"],
            peer_peak_gb=theirs["peak_gb"],
            threads=threads,
        )
        for name, theirs in medians.items()
        if name != "pipeline"
    ]


def _as_csv(parquet: Path, csv: Path) -> None:
    duckdb.sql(f"COPY (FROM '{parquet}') TO '{csv}' (FORMAT csv, HEADER)")
    parquet.unlink()


def _installed(package: str) -> bool:
    return subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True, check=False).returncode == 0


def _run(module: str, *arguments: str) -> str:
    environment = {**os.environ, "POLARS_MAX_THREADS": arguments[-1]} if module == "benchmarks.pair_counts" else None
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise UserError(f"{module} {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    printed = Table(title=f"ingestion, {machine()}, commit {commit()}")
    for column in ("", "ours", "peer", "ratio", "CPU s", "peer's", "peak GB", "peer's", "clock s"):
        printed.add_column(column, justify="right" if column else "left")
    keys = ("ours", "peer", "ratio", "cpu_seconds", "peer_cpu_seconds", "peak_gb", "peer_peak_gb", "seconds")
    for found in rows:
        printed.add_row(found["name"], *(_number(found.get(key)) for key in keys))
    return printed


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def main(
    events: Annotated[str, typer.Option(help="Sizes, with commas.")] = "1000000,10000000",
    json: Annotated[Path | None, typer.Option("--json", help="Write the rows there.")] = None,
    threads: Annotated[int, typer.Option(min=1)] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender of pair counting.")] = 3,
) -> None:
    rows: list[dict[str, Any]] = []
    for size in (int(part) for part in events.split(",")):
        with tempfile.TemporaryDirectory(prefix="s2gr-ingestion-") as name:
            rows += ingest(size, Path(name), threads)
            rows += count_pairs(size, Path(name) / "work", threads, rounds)
    Console(width=180).print(table(rows))
    if json:
        write_rows(json, rows)


if __name__ == "__main__":
    typer.run(main)
