"""What a materialisation shows: rows of each table, the stage's metrics, pictures of its curves."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from orchestration.dvc_project import Project, Stage
from orchestration.pictures import picture

# More single figures than this make a page nobody reads; all of them stand in the JSON entry.
MOST_FIGURES = 40
# Rows of the table of level-1 codes, and letters of a title in it.
MOST_CODES = 30
LONGEST_CELL = 60
# Rows of the table of landed files, and letters of a reason in it.
MOST_BATCHES = 50
LONGEST_REASON = 300


def describe(project: Project, stage: Stage) -> dict[str, Any]:
    """Metadata entries of the stage's outputs as they lie in the working tree."""
    entries: dict[str, Any] = {}
    tables = [path for path in stage.outs if path.endswith(".parquet") and (project.root / path).exists()]
    for position, path in enumerate(tables):
        rows = pq.read_metadata(project.root / path).num_rows
        entries[f"rows: {Path(path).stem}"] = rows
        if position == 0:
            entries["dagster/row_count"] = rows
    for path in stage.outs:
        drawn = picture(project.root / path)
        if drawn is not None:
            entries[Path(path).stem.replace("_", " ")] = dg.MetadataValue.md(f"![{Path(path).stem}]({drawn})")
        if path == "data/batches.parquet" and (project.root / path).exists():
            entries["landed files"] = dg.MetadataValue.md(_batches(project.root / path))
        if Path(path).name == "codes.csv" and (project.root / path).exists():
            entries["largest codes of level 1"] = dg.MetadataValue.md(_codes(project.root / path))
    for path in (*stage.outs, *stage.metrics):
        if path == f"reports/{stage.name}.json" and (project.root / path).exists():
            entries |= _figures(json.loads((project.root / path).read_text(encoding="utf-8")))
    return entries


def _batches(path: Path) -> str:
    """A Markdown table of what became of the landed files, those that need a look first."""
    rows = pq.read_table(path).to_pylist()
    order = ("refused", "admitted", "copy", "ignored")
    rows.sort(key=lambda row: (order.index(row["status"]), not row["failed_checks"], row["file"]))
    lines = ["| file | status | rows | rejected | why, or what to look at |", "|---|---|---|---|---|"]
    for row in rows[:MOST_BATCHES]:
        why = row["reason"] or ", ".join(row["failed_checks"] or ())
        counts = " | ".join("" if row[name] is None else f"{row[name]:,}" for name in ("rows", "rejected"))
        lines.append(f"| {_cell(row['file'])} | {row['status']} | {counts} | {_cell(why, LONGEST_REASON)} |")
    more = len(rows) - MOST_BATCHES
    return "\n".join(lines) + (f"\n\n… and {more} more in `data/batches.parquet`" if more > 0 else "")


def _codes(path: Path) -> str:
    """A Markdown table of the level-1 codes with the most items: what a person needs to judge them."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: -int(row["items"]))[:MOST_CODES]
    examples = [name for name in (rows[0] if rows else {}) if name.startswith("example_")]
    lines = ["| code | items | name | for example |", "|---|---|---|---|"]
    for row in rows:
        shown = "; ".join(_cell(row[name]) for name in examples if row[name])
        lines.append(f"| {row['code']} | {row['items']} | {_cell(row['name'])} | {shown} |")
    return "\n".join(lines)


def _cell(text: str, longest: int = LONGEST_CELL) -> str:
    """``text`` inside a Markdown table: what would be markup or end the cell is escaped, the rest cut short."""
    short = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return re.sub(r"([\\|`*_\[\]<>#~])", r"\\\1", " ".join(short.split()))


def _figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    leaves = dict(_leaves(metrics))
    shown = dict(list(leaves.items())[:MOST_FIGURES])
    return {**shown, "metrics": dg.MetadataValue.json(_finite(metrics))}


def _leaves(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int | float | str | bool]]:
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
            yield f"{prefix}{key}", value


def _finite(value: Any) -> Any:
    """JSON has no NaN; Dagster's page would not parse it."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
