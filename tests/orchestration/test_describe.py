"""What a materialisation shows of a stage's outputs."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.describe import describe
from orchestration.pictures import picture
from s2gr.events.ledger import Entry, write_ledger

TABLES = {
    "reasoner_curve.csv": "epoch,loss,recommendation,ndcg@10\n1,3.5,2.5,0.01\n2,3.0,2.0,\n",
    "code_usage.csv": "level,code,items\n1,0,3\n1,1,0\n2,0,2\n2,1,1\n",
    "ranking.csv": "system,filter,k,recall,ndcg\ns2gr,none,5,0.1,0.05\ns2gr,none,10,0.2,0.07\ns2gr,seen,10,0.2,0.1\n",
}


@pytest.mark.parametrize("name", TABLES)
def test_each_plotted_table_becomes_a_png(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TABLES[name], encoding="utf-8")
    drawn = picture(tmp_path / name)
    assert drawn is not None
    head, _, body = drawn.partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(body).startswith(b"\x89PNG")
    # It travels in Dagster's event log.
    assert len(drawn) < 100_000


def test_what_is_no_such_table_is_not_drawn(tmp_path: Path) -> None:
    (tmp_path / "reasoner_curve.csv").write_text("epoch,loss\n", encoding="utf-8")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert picture(tmp_path / "reasoner_curve.csv") is None
    assert picture(tmp_path / "other.csv") is None
    assert picture(tmp_path / "ranking.csv") is None


def test_rows_are_counted_and_a_figure_that_is_no_number_stays_out_of_json(toy: Any) -> None:
    toy.rewrite("dvc.yaml", (toy.root / "dvc.yaml").read_text().replace("data/other.txt", "data/other.parquet"))
    pq.write_table(pa.table({"item_id": ["a", "b"]}), toy.root / "data/other.parquet")
    toy.rewrite("reports/first.json", '{"loss": NaN, "ndcg": {"at 10": 0.5}, "ks": [5, 10]}')
    project = toy.project
    shown = describe(project, project.stages["first"])
    assert shown["rows: other"] == shown["dagster/row_count"] == 2
    assert shown["ndcg.at 10"] == 0.5
    assert "loss" not in shown
    assert shown["metrics"].value == {"loss": None, "ndcg": {"at 10": 0.5}, "ks": [5, 10]}


def test_the_largest_codes_are_shown_as_a_table(toy: Any) -> None:
    toy.rewrite("dvc.yaml", (toy.root / "dvc.yaml").read_text().replace("data/other.txt", "reports/codes.csv"))
    head = "code,items,name,example_1,example_2,example_3"
    lines = [f"{code},{code},name{code},A | B,{'long ' * 30}," for code in range(40)]
    toy.rewrite("reports/codes.csv", "\n".join([head, *lines]) + "\n")
    project = toy.project
    table = describe(project, project.stages["first"])["largest codes of level 1"].value.splitlines()
    assert len(table) == 2 + 30
    assert table[2].startswith("| 39 | 39 | name39 | A \\| B; long long")
    assert max(map(len, table)) < 200


def test_what_became_of_the_landed_files_is_shown_as_a_table_refused_ones_first(toy: Any) -> None:
    toy.rewrite("dvc.yaml", (toy.root / "dvc.yaml").read_text().replace("data/other.txt", "data/batches.parquet"))
    entries = [
        Entry("a.csv", "00", "interactions", "admitted", rows=1000),
        Entry("b.csv", "01", "interactions", "admitted", None, ["batch_few_rejected"], 1000, {"missing_user": 20}),
        Entry("c.csv", "02", "interactions", "refused", "c.csv, line 3: a | b", ["batch_readable"]),
    ]
    write_ledger(
        [*entries, *(Entry(f"d{n}.csv", "00", None, "copy") for n in range(60))], "x", toy.root / "data/batches.parquet"
    )
    table = describe(toy.project, toy.project.stages["first"])["landed files"].value.splitlines()
    assert table[2:5] == [
        "| c.csv | refused |  |  | c.csv, line 3: a \\| b |",
        "| b.csv | admitted | 1,000 | 20 | batch\\_few\\_rejected |",
        "| a.csv | admitted | 1,000 | 0 |  |",
    ]
    assert table[-1] == "… and 13 more in `data/batches.parquet`"
