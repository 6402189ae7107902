"""The tables of benchmarks/quality.py as one picture: NDCG@10 of each row, every seed a dot."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

from benchmarks.quality_tables import FILTER_TITLES, METRICS, Table

matplotlib.use("Agg")
from matplotlib import pyplot

_METRIC = METRICS.index("N@10")
_OWN, _OTHER = "#b2451e", "#44607a"


def draw(table: Table, label: str, path: Path) -> None:
    """A panel for each filter, rows in order of the first panel's means; what is S²GR's own in another colour."""
    rows = sorted(table.rows(""), key=lambda row: table.seeds(row, "")[:, _METRIC].mean())
    figure, panels = pyplot.subplots(
        1, len(FILTER_TITLES), sharey=True, sharex=True, figsize=(10, 1.2 + 0.3 * len(rows)), layout="constrained"
    )
    for panel, (suffix, title) in zip(panels, FILTER_TITLES.items(), strict=True):
        for height, row in enumerate(rows):
            seeds = table.seeds(row, suffix)[:, _METRIC]
            colour = _OWN if row.startswith(("full", "paper")) else _OTHER
            panel.barh(height, seeds.mean(), height=0.6, color=colour, alpha=0.35)
            panel.scatter(seeds, np.full(len(seeds), height), s=14, color=colour, zorder=3)
            panel.text(seeds.max(), height, f"  {seeds.mean():.4f}".replace("0.", "."), va="center", fontsize=8)
        panel.set_yticks(range(len(rows)), [table.name(row) for row in rows])
        panel.set(title=title, xlabel="NDCG@10, a dot a seed")
        panel.grid(axis="x", alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.12)
    figure.suptitle(label)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
