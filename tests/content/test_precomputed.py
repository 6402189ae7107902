"""Embeddings that the user brings: every format, and every way in which they can be wrong."""

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from s2gr.content.precomputed import load_precomputed, plain_id, read_parquet_vectors
from s2gr.errors import UserError
from s2gr.params import ItemColumns, Source
from s2gr.sources.files import item_values
from s2gr.sources.formats import open_file

VECTORS = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, -2.0]])
UNIT = np.array([[0.0, -1.0], [0.6, 0.8]], dtype=np.float32)


def write_npy(folder: Path, vectors: npt.NDArray[Any], ids: str = "a\nb\nc\n") -> None:
    np.save(folder / "x.npy", vectors)
    (folder / "ids.txt").write_text(ids)


def write_parquet(folder: Path, vectors: Any, kind: pa.DataType, ids: tuple[Any, ...] = ("a", "b", "c")) -> None:
    pq.write_table(pa.table({"item_id": ids, "embedding": pa.array(vectors, kind)}), folder / "x.parquet")


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_a_matrix_is_read_in_the_order_of_the_items(kind: type, tmp_path: Path) -> None:
    write_npy(tmp_path, VECTORS.astype(kind))
    found = load_precomputed(["c", "a"], Source(path=tmp_path), "x.npy", "ids.txt")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, UNIT, atol=1e-3)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32(), 2), pa.list_(pa.float64()), pa.large_list(pa.float16()), pa.list_(pa.float32())]
)
def test_parquet_lists_are_read_in_the_order_of_the_items(kind: pa.DataType, tmp_path: Path) -> None:
    write_parquet(tmp_path, VECTORS.tolist(), kind)
    np.testing.assert_allclose(load_precomputed(["c", "a"], Source(path=tmp_path), "x.parquet", None), UNIT, atol=1e-3)


def test_rows_of_items_outside_the_catalogue_do_not_matter(tmp_path: Path) -> None:
    write_npy(tmp_path, np.array([[3.0, 4.0], [np.nan, 0.0], [0.0, -2.0]]))
    np.testing.assert_allclose(load_precomputed(["c", "a"], Source(path=tmp_path), "x.npy", "ids.txt"), UNIT)


def with_value(row: int, value: float) -> npt.NDArray[np.float64]:
    changed = VECTORS.copy()
    changed[row] = value
    return changed


@pytest.mark.parametrize(
    ("vectors", "ids", "message"),
    [
        (with_value(1, np.nan), "a\nb\nc\n", r"x\.npy, row 2, item 'b': the embedding is not finite"),
        (with_value(2, np.inf), "a\nb\nc\n", r"row 3, item 'c': the embedding is not finite"),
        (with_value(1, 1e300), "a\nb\nc\n", r"row 2, item 'b': the embedding is not finite"),
        (with_value(0, 0.0), "a\nb\nc\n", r"row 1, item 'a': the embedding is all zero \(1 such item\)"),
        (VECTORS, "a\nb\n", r"has 3 rows, but .*ids\.txt has 2 ids"),
        (VECTORS, "a\nb\nd\n", r"1 of 3 items have no embedding, the first is 'c'"),
        (VECTORS, "a\nb\na\n", r"ids\.txt: item 'a' stands in row 1 and again in row 3"),
        (VECTORS, "a\n\nc\n", r"ids\.txt, row 2: the item id is missing"),
        (VECTORS[0], "a\nb\n", r"expected the shape \(items, dimensions\), found \(2,\)"),
        (VECTORS.astype(int), "a\nb\nc\n", r"expected float16, float32 or float64, found int64"),
        (np.zeros((3, 0)), "a\nb\nc\n", r"expected the shape \(items, dimensions\), found \(3, 0\)"),
    ],
)
def test_a_wrong_matrix_is_told_with_item_and_row(
    vectors: npt.NDArray[Any], ids: str, message: str, tmp_path: Path
) -> None:
    write_npy(tmp_path, vectors, ids)
    with pytest.raises(UserError, match=message):
        load_precomputed(["a", "b", "c"], Source(path=tmp_path), "x.npy", "ids.txt")


def test_a_pickled_array_is_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[object()]]), allow_pickle=True)
    (tmp_path / "ids.txt").write_text("a\n")
    with pytest.raises(UserError, match=r"x\.npy is not a whole \.npy file of numbers"):
        load_precomputed(["a"], Source(path=tmp_path), "x.npy", "ids.txt")


def test_a_truncated_matrix_is_refused(tmp_path: Path) -> None:
    write_npy(tmp_path, VECTORS)
    path = tmp_path / "x.npy"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(UserError, match=r"x\.npy is not a whole \.npy file"):
        load_precomputed(["a"], Source(path=tmp_path), "x.npy", "ids.txt")


def test_lists_of_other_lengths_are_told_with_item_and_row(tmp_path: Path) -> None:
    write_parquet(tmp_path, [[1.0, 2.0], [1.0], [1.0, 2.0]], pa.list_(pa.float32()))
    with pytest.raises(UserError, match=r"row 2, item 'b': the embedding has 1 numbers, most have 2"):
        load_precomputed(["a"], Source(path=tmp_path), "x.parquet", None)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 2)])
def test_a_missing_or_broken_list_is_told_with_item_and_row(kind: pa.DataType, tmp_path: Path) -> None:
    write_parquet(tmp_path, [[1.0, 2.0], None, [1.0, 2.0]], kind)
    with pytest.raises(UserError, match=r"row 2, item 'b': the embedding"):
        load_precomputed(["a", "b", "c"], Source(path=tmp_path), "x.parquet", None)
    write_parquet(tmp_path, [[1.0, 2.0], [None, 1.0], [1.0, 2.0]], kind)
    with pytest.raises(UserError, match=r"row 2, item 'b': the embedding is not finite"):
        load_precomputed(["a", "b", "c"], Source(path=tmp_path), "x.parquet", None)


def test_files_that_are_missing_or_of_another_kind_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.npy does not exist"):
        load_precomputed(["a"], Source(path=tmp_path), "x.npy", "ids.txt")
    np.save(tmp_path / "x.npy", VECTORS)
    with pytest.raises(UserError, match=r"content\.ids: .*needs the text file of its item ids"):
        load_precomputed(["a"], Source(path=tmp_path), "x.npy", None)
    with pytest.raises(UserError, match=r"ids\.txt does not exist"):
        load_precomputed(["a"], Source(path=tmp_path), "x.npy", "ids.txt")
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(UserError, match=r"must be a \.npy or a \.parquet file"):
        load_precomputed(["a"], Source(path=tmp_path), "x.csv", None)
    pq.write_table(pa.table({"item_id": ["a"], "vector": [[1.0]]}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"expected columns item_id and embedding, found item_id, vector"):
        load_precomputed(["a"], Source(path=tmp_path), "x.parquet", None)
    pq.write_table(pa.table({"item_id": ["a"], "embedding": ["1 2"]}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"expected lists of float16, float32 or float64 as embedding, found string"):
        load_precomputed(["a"], Source(path=tmp_path), "x.parquet", None)
    (tmp_path / "x.parquet").write_bytes(b"")
    with pytest.raises(UserError, match=r"x\.parquet is not a readable Parquet file"):
        load_precomputed(["a"], Source(path=tmp_path), "x.parquet", None)


def test_ids_are_read_as_the_log_reads_them(tmp_path: Path) -> None:
    write_parquet(tmp_path, VECTORS.tolist(), pa.list_(pa.float64()), ids=(" a ", "7.0", "196.0"))
    found = load_precomputed(["196", "a"], Source(path=tmp_path), "x.parquet", None)
    np.testing.assert_allclose(found, UNIT)
    write_parquet(tmp_path, VECTORS.tolist(), pa.list_(pa.float64()), ids=(3.0, 7.0, 196.0))
    np.testing.assert_allclose(load_precomputed(["196", "3"], Source(path=tmp_path), "x.parquet", None), UNIT)


def test_a_line_of_ids_ends_with_a_line_feed_alone(tmp_path: Path) -> None:
    # Signs at which Python's splitlines() ends a line, too, and which the event log leaves in an id.
    ids = ["a\u2028b", "c\x85d", "e\x0cf\rg"]
    np.save(tmp_path / "x.npy", VECTORS)
    for end in ("\n", "\r\n"):
        (tmp_path / "ids.txt").write_bytes((end.join(ids) + end).encode())
        found = load_precomputed([ids[2], ids[0]], Source(path=tmp_path), "x.npy", "ids.txt")
        np.testing.assert_allclose(found, UNIT)


def test_ids_lose_the_blanks_that_they_lose_in_the_log() -> None:
    signs = [chr(code) for code in range(1, 0x3100)]
    padded = [f"{sign}7{sign}" for sign in signs]
    rows = duckdb.execute("SELECT trim(id) FROM (SELECT unnest(?) AS id)", [padded]).fetchall()
    assert [plain_id(item_id) for item_id in padded] == [item_id for (item_id,) in rows]
    assert plain_id("196.0\n") == "196.0\n"


NUMBERS = st.one_of(st.floats(-1e6, 1e6), st.integers(-(10**25), 10**25).map(float), st.none())
TEXTS = st.one_of(st.from_regex(r"\A[ \t]?-?[0-9]{1,3}(\.[0-9]{1,2})?[ \n]?\Z"), st.text(max_size=4), st.none())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.lists(NUMBERS, min_size=1, max_size=30), st.lists(TEXTS, min_size=1, max_size=30)))
@example([1e20, 196.0, None, 1.5])
def test_ids_beside_vectors_are_those_of_the_log(tmp_path: Path, ids: list[Any]) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"item_id": ids, "embedding": [[1.0]] * len(ids)}), path)
    connection = duckdb.connect()
    file = open_file(path, connection)
    values = item_values(Source(item_columns=ItemColumns(title=None, text=["item_id"])), file)
    in_log = connection.execute(f"SELECT item_id FROM (SELECT s2gr_row, {values} FROM ({file.scan})) ORDER BY s2gr_row")
    beside = [plain_id(item_id) for item_id in read_parquet_vectors(path, "item_id")[1]]
    for (found,), expected, value in zip(in_log.fetchall(), beside, ids, strict=True):
        # A number that is not whole is no id in the log.
        assert found == (expected or None) or (isinstance(value, float) and not value.is_integer() and found is None)


def test_an_id_of_blanks_is_missing(tmp_path: Path) -> None:
    write_npy(tmp_path, VECTORS, ids="a\n  \nc\n")
    with pytest.raises(UserError, match=r"ids\.txt, row 2: the item id is missing"):
        load_precomputed(["a"], Source(path=tmp_path), "x.npy", "ids.txt")


def test_files_outside_the_source_folder_are_refused(tmp_path: Path) -> None:
    write_npy(tmp_path, VECTORS)
    folder = tmp_path / "landing"
    folder.mkdir()
    write_npy(folder, VECTORS)
    with pytest.raises(UserError, match=r"content\.embeddings: '\.\./x\.npy' is not below source\.path"):
        load_precomputed(["a"], Source(path=folder), "../x.npy", "ids.txt")
    with pytest.raises(UserError, match=r"content\.ids: '/.*ids\.txt' is not below source\.path"):
        load_precomputed(["a"], Source(path=folder), "x.npy", str(tmp_path / "ids.txt"))
