"""The tables that DVC plots, drawn as small PNGs for a materialisation's metadata."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Rows = list[dict[str, str]]
# Columns of the curves that are losses, beside those with "loss" in their name.
_LOSSES = {"recommendation", "codebook", "reconstruction", "commitment", "uniformity", "alignment", "interest"}


def picture(path: Path) -> str | None:
    """A data URI of the drawing, or None if the file is no table that we know, or holds nothing."""
    drawing = _drawing(path)
    if drawing is None or not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return None
    figure = Figure(figsize=(8, 3), layout="constrained")
    drawing(figure, rows)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _drawing(path: Path) -> Callable[[Figure, Rows], None] | None:
    if path.name.endswith("_curve.csv"):
        return _curves
    return {"code_usage.csv": _usage, "ranking.csv": _ranking}.get(path.name)


def _curves(figure: Figure, rows: Rows) -> None:
    """Losses on the left; what is better when higher, and all else, on the right."""
    x, *columns = [name for name in rows[0] if _numbers(rows, name)]
    losses = [name for name in columns if "loss" in name or name in _LOSSES]
    panels = [names for names in (losses, [name for name in columns if name not in losses]) if names]
    for position, names in enumerate(panels):
        axes: Axes = figure.add_subplot(1, len(panels), position + 1)
        for name in names:
            axes.plot(_numbers(rows, x), _numbers(rows, name), label=name)
        axes.set_xlabel(x)
        axes.legend(fontsize="small")
        axes.grid(alpha=0.3)


def _usage(figure: Figure, rows: Rows) -> None:
    """How many items carry each code, sorted: a flat line is a codebook that is used evenly."""
    axes: Axes = figure.add_subplot(1, 1, 1)
    for level in sorted({row["level"] for row in rows}, key=int):
        items = sorted((int(float(row["items"])) for row in rows if row["level"] == level), reverse=True)
        axes.step(range(1, len(items) + 1), items, where="mid", label=f"level {level}")
    axes.set_xlabel("code, most used first")
    axes.set_ylabel("items")
    axes.legend(fontsize="small")
    axes.grid(alpha=0.3)


def _ranking(figure: Figure, rows: Rows) -> None:
    """NDCG at the largest k, one bar a system, one panel a filter."""
    largest = max(rows, key=lambda row: int(row["k"]))["k"]
    filters = list(dict.fromkeys(row["filter"] for row in rows))
    for position, name in enumerate(filters):
        chosen = [row for row in rows if row["filter"] == name and row["k"] == largest]
        axes: Axes = figure.add_subplot(1, len(filters), position + 1)
        bars = axes.barh([row["system"] for row in chosen], [float(row["ndcg"]) for row in chosen])
        axes.bar_label(bars, fmt="%.3f", fontsize="small", padding=2)
        axes.invert_yaxis()
        axes.set_title(f"NDCG@{largest}, filter: {name}", fontsize="medium")


def _numbers(rows: Rows, name: str) -> list[float]:
    """The column as numbers (an empty cell is a gap); an empty list if it holds anything else."""
    try:
        return [float(row[name]) if row[name] else float("nan") for row in rows]
    except ValueError:
        return []
