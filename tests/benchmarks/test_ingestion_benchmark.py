"""The benchmark of ingestion runs from data to table, and all that count pairs count the same ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import ingestion
from benchmarks.pair_counts import CONTENDERS, digest_of
from benchmarks.synthetic_log import write_log
from s2gr.params import Params
from s2gr.stage import execute
from s2gr.workspace import Workspace


@pytest.mark.parametrize("name", [name for name in CONTENDERS if name != "pipeline"])
def test_every_contender_counts_the_pairs_that_the_pipeline_counts(name: str, log: Workspace) -> None:
    if name == "polars":
        pytest.importorskip("polars")
    found, ours = CONTENDERS[name](log, 1), CONTENDERS["pipeline"](log, 1)
    assert digest_of(found) == digest_of(ours)
    assert found.to_pydict() == ours.to_pydict()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    landing, root = tmp_path_factory.mktemp("landing"), tmp_path_factory.mktemp("work")
    write_log(landing / "log.parquet", 2_000, 100)
    params = {"runtime": {"threads": 1}, "source": {"kind": "files", "path": str(landing)}}
    workspace = Workspace(root)
    execute("events", Params.model_validate(params), workspace)
    return workspace


def test_it_runs_from_data_to_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingestion, "CONTENDERS", ["pipeline", "duckdb_lead"])
    monkeypatch.setattr(ingestion, "_FORMATS", ["parquet"])
    ingestion.main("2000", tmp_path / "rows.json", threads=1, rounds=1)
    stage, pairs = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert stage["ours"] > 0
    assert stage["peak_gb"] > 0.01
    assert pairs["peer_name"] == "duckdb_lead"
    assert pairs["ratio"] > 0
