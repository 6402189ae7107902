"""What a materialisation shows: rows of each table, the stage's metrics, pictures of its curves."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from orchestration.dvc_project import Project, Stage
from orchestration.pictures import picture

# More single figures than this make a page nobody reads; all of them stand in the JSON entry.
MOST_FIGURES = 40


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
    for path in (*stage.outs, *stage.metrics):
        if path == f"reports/{stage.name}.json" and (project.root / path).exists():
            entries |= _figures(json.loads((project.root / path).read_text(encoding="utf-8")))
    return entries


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
