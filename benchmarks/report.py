"""What every benchmark says beside its figures: the machine, the commit, the versions."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("s2gr", "torch", "numpy", "duckdb", "polars", "cornac", "transformers", "vector-quantize-pytorch")


def machine() -> str:
    """Processor and the vector instructions that torch finds, cores that this process may use, system and Python."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    told = f"{name} ({torch.backends.cpu.get_cpu_capability()}), {cores} cores"
    return f"{told}, {platform.system()}, Python {platform.python_version()}"


def commit() -> str:
    """The checkout's commit, with ``+`` where its code differs from it; ``unknown`` outside a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # What a benchmark writes (records, docs/results.md) changes no figure.
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":(top,exclude)docs")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions() -> dict[str, str]:
    """Of the packages that are compared, those that are installed."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def row(name: str, ours: float, peer: float | None = None, **more: Any) -> dict[str, Any]:
    """One comparison; ``ratio`` is ours / peer: above 1 we do more of it."""
    ratio = round(ours / peer, 3) if peer else None
    return {"name": name, "ours": ours, "peer": peer, "ratio": ratio, **more}


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A JSON list of the rows, each with machine, commit, versions and date."""
    told = {
        "machine": machine(),
        "commit": commit(),
        "versions": versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{**row, **told} for row in rows], indent=1) + "\n", encoding="utf-8")
