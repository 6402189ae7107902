"""The stage as a whole: its outputs, the figures of its report, and the comparison with an earlier table."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2gr.embeddings import embedding_table, unit_rows
from s2gr.errors import UserError
from s2gr.freshness import fingerprint
from s2gr.params import Params
from s2gr.stage import execute
from s2gr.workspace import Workspace, write_table

SMALL: dict[str, Any] = {
    "runtime": {"threads": 1, "device": "cpu"},
    "codebook": {"codes": 8, "latent_dim": 4, "hidden": [8], "epochs": 2},
    "reasoner": {"clusters": 4},
}
ITEMS = 120


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A trained codebook over items of which some have the same embedding."""
    workspace = Workspace(tmp_path_factory.mktemp("sids"))
    generator = np.random.default_rng(0)
    ids = [f"i{item:03}" for item in range(ITEMS)]
    kinds = generator.choice(["soap", "wig", "brush"], ITEMS)
    embeddings = unit_rows(generator.normal(size=(ITEMS, 10)).astype(np.float32))
    embeddings[:20] = embeddings[0]
    write_table(embedding_table(pa.chunked_array([ids]), embeddings), workspace.aligned)
    write_table(
        pa.table({"item_id": ids, "title": [f"Thing {i}" for i in ids], "text": [f"{kind} thing" for kind in kinds]}),
        workspace.items,
    )
    pairs = pa.table({"item_a": ids[:50], "item_b": ids[1:51], "count": pa.array(range(50), pa.int64())})
    write_table(pairs, workspace.cooccurrence)
    execute("codebook", Params.model_validate(SMALL), workspace)
    return workspace


def run(workspace: Workspace, **sids: Any) -> dict[str, Any]:
    return dict(execute("sids", Params.model_validate({**SMALL, "sids": sids}), workspace))


def test_every_item_has_an_id_of_its_own_and_the_report_says_what_it_cost(trained: Workspace) -> None:
    metrics = run(trained)
    table = pq.read_table(trained.sids)
    assert table.column_names == ["item_id", "code_1", "code_2", "code_3"]
    assert len(set(zip(*(table[f"code_{level}"].to_pylist() for level in (1, 2, 3)), strict=True))) == ITEMS
    assert metrics["unique"]["after"] == 1
    assert metrics["unique"]["before"] < 1
    costs = metrics["collisions"]
    assert costs["after"] == 0
    # Twenty equal items under one prefix of eight codes: twelve at least must leave it.
    assert costs["largest_bucket"] >= 20
    assert costs["rerouted"] >= 12
    assert costs["moved"] >= 19
    assert costs["extra_relative"] == pytest.approx(costs["extra_distance"] / costs["mean_error"], rel=1e-4)
    assert set(metrics["cohesion_1"]) == {"cooccurring", "random", "ratio"}
    assert "churn" not in metrics


def test_the_same_inputs_give_the_same_bytes(trained: Workspace) -> None:
    run(trained)
    outputs = [trained.sids, trained.plot("code_usage"), trained.plot("codes"), trained.report("sids")]
    before = [path.read_bytes() for path in outputs]
    run(trained)
    assert [path.read_bytes() for path in outputs] == before


def test_the_codes_of_level_1_are_listed_with_all_items(trained: Workspace) -> None:
    run(trained)
    with trained.plot("codes").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["code"]) for row in rows] == list(range(8))
    assert sum(int(row["items"]) for row in rows) == ITEMS


def test_churn_is_reported_beside_an_earlier_table(trained: Workspace, tmp_path: Path) -> None:
    run(trained)
    table = pq.read_table(trained.sids)
    renamed = pa.array([7 - code for code in table["code_1"].to_pylist()], pa.int32())
    pq.write_table(table.set_column(1, "code_1", renamed).slice(5), tmp_path / "earlier.parquet")
    found = run(trained, previous=str(tmp_path / "earlier.parquet"))["churn"]
    assert (found["common"], found["gone"], found["new"]) == (ITEMS - 5, 0, 5)
    assert found["code_1"] == {"raw": 1.0, "aligned": 0.0, "chance": found["code_1"]["chance"]}
    assert found["sid"]["aligned"] == 0
    assert found["previous"].endswith("earlier.parquet")


def test_an_earlier_table_of_other_levels_or_items_is_no_reason_to_fail(trained: Workspace, tmp_path: Path) -> None:
    run(trained)
    table = pq.read_table(trained.sids)
    others = pa.array([f"other {row}" for row in range(ITEMS)], pa.string())
    earlier = tmp_path / "earlier.parquet"
    for changed in (table.drop_columns(["code_3"]), table.set_column(0, "item_id", others)):
        pq.write_table(changed, earlier)
        assert "churn" not in run(trained, previous=str(earlier))


def test_an_earlier_table_must_be_there_and_not_be_overwritten(trained: Workspace, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sids\.previous: .*nowhere\.parquet does not exist"):
        run(trained, previous=str(tmp_path / "nowhere.parquet"))
    with pytest.raises(UserError, match="is what this stage writes; copy it elsewhere before"):
        run(trained, previous=str(trained.sids))
    pq.write_table(pa.table({"item_id": ["a"], "code": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="expected columns item_id, code_1"):
        run(trained, previous=str(tmp_path / "other.parquet"))


def test_items_that_disagree_with_the_embeddings_are_refused(trained: Workspace, tmp_path: Path) -> None:
    shutil.copytree(trained.root, tmp_path / "work")
    workspace = Workspace(tmp_path / "work")
    pq.write_table(pq.read_table(workspace.items).slice(1), workspace.items)
    with pytest.raises(UserError, match="hold different items; run the stage `content` again"):
        run(workspace)


def test_embeddings_that_are_not_finite_are_refused(trained: Workspace, tmp_path: Path) -> None:
    shutil.copytree(trained.root, tmp_path / "work")
    workspace = Workspace(tmp_path / "work")
    table = pq.read_table(workspace.aligned)
    matrix = np.array(table["embedding"].to_pylist(), np.float32)
    matrix[3] = np.nan
    write_table(embedding_table(table["item_id"], matrix), workspace.aligned)
    with pytest.raises(UserError, match=f"item 4 of {ITEMS}: its latent vector is not finite"):
        run(workspace)


def test_another_earlier_table_makes_the_stage_run_again(trained: Workspace, tmp_path: Path) -> None:
    def inputs() -> dict[str, str]:
        params = Params.model_validate({**SMALL, "sids": {"previous": str(tmp_path / "earlier.parquet")}})
        return fingerprint("sids", params, trained).inputs

    run(trained)
    shutil.copy(trained.sids, tmp_path / "earlier.parquet")
    before = inputs()
    pq.write_table(pq.read_table(trained.sids).slice(1), tmp_path / "earlier.parquet")
    assert {name for name, digest in inputs().items() if digest != before[name]} == {str(tmp_path / "earlier.parquet")}
