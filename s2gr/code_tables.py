"""The codebook at a glance on a terminal: how evenly each level's codes are used, and what the largest codes hold."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from s2gr.workspace import Workspace

_BARS = "▁▂▃▄▅▆▇█"
# Columns of a level's picture.
_WIDTH = 64
_CODES = 10


def code_tables(workspace: Workspace) -> Iterator[RenderableType]:
    """What there is to show of ``reports/code_usage.csv`` and ``reports/codes.csv``; nothing where they are missing."""
    usage, codes = (_rows(workspace.plot(name)) for name in ("code_usage", "codes"))
    if usage:
        yield _usage(usage)
    if codes:
        yield _largest(codes)


def _usage(rows: list[dict[str, str]]) -> Table:
    """Per level the codes from the most to the least used, as a row of bars: a flat one is even use."""
    table = Table(title="Items per code, most used first")
    for column in ("level", "", "most", "median", "unused"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for level in sorted({row["level"] for row in rows}, key=int):
        items = sorted((int(row["items"]) for row in rows if row["level"] == level), reverse=True)
        table.add_row(level, bars(items), str(items[0]), str(items[len(items) // 2]), str(items.count(0)))
    return table


def bars(values: list[int]) -> str:
    """A row of at most ``_WIDTH`` bars, each the mean of its share of ``values``; a blank is exactly nothing."""
    width = min(_WIDTH, len(values))
    edges = [round(place * len(values) / width) for place in range(width + 1)]
    means = [sum(values[low:high]) / (high - low) for low, high in itertools.pairwise(edges)]
    largest = max(means) or 1.0
    return "".join(_BARS[min(int(mean / largest * len(_BARS)), len(_BARS) - 1)] if mean else " " for mean in means)


def _largest(rows: list[dict[str, str]]) -> Table:
    table = Table(title="The largest codes of level 1, named by the words that set their items apart")
    for column in ("code", "items", "name", "for example"):
        table.add_column(column, justify="right" if column in {"code", "items"} else "left")
    for row in sorted(rows, key=lambda row: -int(row["items"]))[:_CODES]:
        example = row["example_1"]
        shown = example if len(example) <= 60 else f"{example[:59]}…"
        table.add_row(row["code"], row["items"], Text(row["name"]), Text(shown))
    return table


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError:
        return []
