"""The tables that DVC plots and Dagster draws."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from s2gr.evaluation.ranking import FILTERS

Cells = Sequence[str | int | float]


def write_ranking(
    results: Mapping[str, Mapping[str, float]], systems: Iterable[str], ks: Sequence[int], path: Path
) -> None:
    """A row per system, filter and k."""
    header = ("system", "filter", "k", "recall", "ndcg", "mrr")
    rows: list[Cells] = [
        (system, filtered, k, *(results[system + suffix][f"{metric}@{k}"] for metric in header[3:]))
        for system in systems
        for suffix, filtered in FILTERS.items()
        for k in ks
    ]
    _write(header, rows, path)


def write_slices(slices: Mapping[str, Mapping[str, Any]], k: int, path: Path) -> None:
    """A row per slice, system and filter; widths beyond the first are left out."""
    rows = [
        (name, figures["users"], system.removesuffix(suffix), filtered, figures[system][f"ndcg@{k}"])
        for name, figures in slices.items()
        for suffix, filtered in reversed(FILTERS.items())
        for system in figures
        if system != "users" and "_width_" not in system and system.endswith("_seen_filtered") == bool(suffix)
    ]
    _write(("slice", "users", "system", "filter", "ndcg"), rows, path)


def write_calibration(network: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """A row per bin of each level's thought; of its code, where the network does not think."""
    told = network["thoughts"] or network["codes"]
    rows = [
        (level.removeprefix("level_"), each["confidence"], each["accuracy"], each["cases"])
        for level, figures in told.items()
        for each in figures["reliability"]
    ]
    _write(("level", "confidence", "accuracy", "cases"), rows, path)


def _write(header: Sequence[str], rows: Iterable[Cells], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row] for row in rows)
