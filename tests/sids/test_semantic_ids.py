"""Semantic IDs as they are read: none shared, levels in order, of the items that are asked for."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2gr.errors import UserError
from s2gr.sids.semantic_ids import read_sids


def test_a_shared_semantic_id_is_refused_naming_both_items(tmp_path: Path) -> None:
    table = pa.table({"item_id": ["a", "b", "c"], "code_1": [1, 2, 1], "code_2": [3, 3, 3]})
    pq.write_table(table, tmp_path / "sids.parquet")
    with pytest.raises(UserError, match=r"items a and c share the semantic ID \[1, 3\]"):
        read_sids(tmp_path / "sids.parquet", ["a", "b", "c"])


def test_levels_are_read_in_numeric_order(tmp_path: Path) -> None:
    names = [f"code_{level}" for level in (2, 10, 1)]
    pq.write_table(
        pa.table({"item_id": ["a"], **dict(zip(names, [[2], [10], [1]], strict=True))}), tmp_path / "s.parquet"
    )
    assert read_sids(tmp_path / "s.parquet", ["a"]).codes.tolist() == [[1, 2, 10]]


def test_semantic_ids_of_another_catalogue_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["a", "b"], "code_1": [1, 2]}), tmp_path / "s.parquet")
    with pytest.raises(UserError, match=r"expected the 3 items of items.parquet"):
        read_sids(tmp_path / "s.parquet", ["a", "b", "c"])
