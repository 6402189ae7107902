"""What a finished run of benchmarks/quality.py leaves: one small file, from which the tables can be made anywhere.

The ranks of every user's target, with the run's parameters, commit, machine, budget and interventions beside them: so a
table can be made again, extended by another machine's runs, or tested in another way, without training anything.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.report import machine
from s2gr.evaluation.ranking import FILTERS
from s2gr.metrics import NOT_RANKED, Ranks
from s2gr.params import Params
from s2gr.workspace import Workspace, read_json, read_table, write_table

# What the tables look at; deeper ranks are not kept.
DEPTH = 10

# What a run ranks beside its own system: its column in ranks.parquet → row of the tables.
_BESIDE: dict[str, dict[str, str]] = {
    "full": {
        "s2gr_interest": "full_interest",
        "s2gr_beam": "full_beam",
        **{name: name for name in ("popularity", "item_knn", "walk", "walk_undirected")},
    },
    "sasrec": {name: name for name in ("sasrec", "sasrec_walk", "walk_tuned", "walk_undirected_tuned")},
}


@dataclass(frozen=True)
class Record:
    """One system, seed and variant of the protocol."""

    system: str
    seed: int
    variant: str
    # Its parameters (:func:`comparable`, with those of a baseline that has its own), and where and when it ran.
    params: Mapping[str, Any]
    commit: str
    machine: str
    date: str
    # Parameters, CPU minutes, MFLOP per user.
    budget: Mapping[str, float]
    # Of the system's own ranking; none for SASRec.
    interventions: Mapping[str, Any] | None
    fusion: Mapping[str, Any] | None
    # Row of the tables → filter → int64 [users], in the order of their ids: the target's rank from 0, ``NOT_RANKED``
    # from DEPTH on.
    ranks: Mapping[str, Mapping[str, Ranks]]

    @property
    def users(self) -> int:
        return len(next(iter(self.ranks.values()))[""])


def comparable(params: Params) -> dict[str, Any]:
    """The parameters but for the path of the data, which differs from machine to machine."""
    found = params.model_dump(mode="json")
    return found | {"source": {key: value for key, value in found["source"].items() if key != "path"}}


def collect(
    system: str, seed: int, variant: str, params: Mapping[str, Any], commit: str, workspace: Workspace
) -> Record:
    """What a run that has ended here has ranked; ``params`` of :class:`Record`."""
    table = read_table(workspace.ranks)
    rows = {"s2gr": system, **_BESIDE.get(system, {})}
    ranks = {
        row: {suffix: _kept(table[column + suffix]) for suffix in FILTERS}
        for column, row in rows.items()
        if column in table.column_names
    }
    told: Mapping[str, Any] = {} if system == "sasrec" else read_json(workspace.report("evaluation"))
    return Record(
        system,
        seed,
        variant,
        params,
        commit,
        machine(),
        f"{datetime.now(UTC):%Y-%m-%d}",
        _budget(workspace),
        told.get("interventions"),
        told.get("fusion"),
        ranks,
    )


def write(record: Record, path: Path) -> None:
    """A column of ranks (``uint8``, null from DEPTH on) for each row and filter; all else as JSON in the schema."""
    columns = {
        row + suffix: pa.array(ranks.clip(0, DEPTH), pa.uint8(), mask=ranks >= DEPTH)
        for row, filtered in record.ranks.items()
        for suffix, ranks in filtered.items()
    }
    told = {name: value for name, value in vars(record).items() if name != "ranks"}
    table = pa.table(columns).replace_schema_metadata({"record": json.dumps(told, ensure_ascii=False)})
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    write_table(table, temporary)
    os.replace(temporary, path)


def read(path: Path) -> Record:
    with pq.ParquetFile(path) as file:
        table = file.read()
    told = json.loads(table.schema.metadata[b"record"])
    rows = [name for name in table.column_names if not any(name.endswith(suffix) for suffix in FILTERS if suffix)]
    ranks = {row: {suffix: _kept(table[row + suffix]) for suffix in FILTERS} for row in rows}
    return Record(**told, ranks=ranks)


def _kept(column: pa.ChunkedArray) -> Ranks:
    beyond = np.iinfo(np.int64).max
    ranks: npt.NDArray[np.int64] = column.cast(pa.int64()).fill_null(beyond).to_numpy()
    return np.where(ranks < DEPTH, ranks, NOT_RANKED)


def _budget(workspace: Workspace) -> dict[str, float]:
    if workspace.report("sasrec").exists():
        told = read_json(workspace.report("sasrec"))
        return {
            "parameters": told["parameters"],
            "minutes": told["cpu_seconds"] / 60,
            "mflops": told["mflops"],
        }
    timings, budget = read_json(workspace.state / "timings.json"), read_json(workspace.report("evaluation"))["budget"]
    return {
        "parameters": budget["parameters"],
        "minutes": sum(timings[stage]["cpu_seconds"] for stage in ("codebook", "reasoner")) / 60,
        "mflops": budget["inference_mflops_per_user"],
    }
