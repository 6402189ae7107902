"""The trie holds exactly the items' codes."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.errors import UserError
from s2gr.sids.trie import build_trie, read_sids


@settings(max_examples=50, deadline=None)
@given(st.sets(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_every_path_leads_to_its_item_and_no_other_exists(rows: set[tuple[int, ...]], shuffle) -> None:
    ordered = sorted(rows)
    shuffle.shuffle(ordered)
    codes = np.array(ordered)
    trie = build_trie(codes)
    paths: list[tuple[tuple[int, ...], int]] = [((), 0)]
    for first, code in zip(trie.first, trie.code, strict=True):
        paths = [
            ((*path, int(code[child])), child) for path, node in paths for child in range(first[node], first[node + 1])
        ]
    found = {path: int(trie.leaf_item[leaf]) for path, leaf in paths}
    assert found == {tuple(row): index for index, row in enumerate(codes.tolist())}
    assert list(found) == sorted(found)


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
