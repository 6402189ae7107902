"""The tables that DVC plots and Dagster draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from s2gr.cases import Cases
from s2gr.evaluation.ranking import FILTERS, Ranked
from s2gr.files import write_csv
from s2gr.metrics import NOT_RANKED
from s2gr.workspace import write_table

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


def write_ranks(systems: Mapping[str, Ranked], cases: Cases, user_ids: Sequence[str], path: Path) -> None:
    """A row per case, in the order of the users: ``user_id``, and for each system and filter the target's rank.

    A rank is the number of items before the target, int32; null where the list does not hold it.
    """
    order = np.argsort(cases.users, kind="stable")
    columns: dict[str, pa.Array] = {"user_id": pa.array([user_ids[user] for user in cases.users[order]])}
    for name, system in systems.items():
        for suffix in FILTERS:
            ranks = system.ranks[suffix][order]
            columns[name + suffix] = pa.array(ranks, pa.int32(), mask=ranks == NOT_RANKED, safe=False)
    write_table(pa.table(columns), path)


def _write(header: Sequence[str], rows: Iterable[Cells], path: Path) -> None:
    told = ([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    write_csv(path, header, told)
