"""`s2gr assign` on a small trained workspace: new items get free IDs, and nothing else changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from s2gr.assign import assign_new
from s2gr.new_sids import join_new_sids, new_sids_path
from s2gr.params import Params
from s2gr.reasoner.trie import build_trie
from s2gr.sids.semantic_ids import SemanticIds, read_codes
from s2gr.stage import execute
from s2gr.workspace import Workspace, write_table

ITEMS, DIM = 40, 12
WORDS = ["soap", "wig", "brush", "lipstick", "cream", "polish", "oil", "mask"]
SMALL: dict[str, Any] = {
    "runtime": {"threads": 1, "device": "cpu"},
    "content": {"dim": 6},
    "codebook": {"levels": 3, "codes": 4, "latent_dim": 4, "hidden": [8], "epochs": 2},
    "reasoner": {"clusters": 4},
}


def text(generator: np.random.Generator) -> str:
    return " ".join(generator.choice(WORDS, 3).tolist())


def trained(folder: Path, content: dict[str, Any]) -> Workspace:
    """Items, events, and the stages from content to semantic IDs."""
    generator = np.random.default_rng(0)
    workspace = Workspace(folder)
    ids = [f"i{item:02}" for item in range(ITEMS)]
    write_table(
        pa.table({"item_id": ids, "title": [f"Thing {i}" for i in ids], "text": [text(generator) for _ in ids]}),
        workspace.items,
    )
    write_table(
        pa.table(
            {
                "user_id": np.repeat([f"u{user}" for user in range(10)], 6),
                "item_id": [ids[item] for item in generator.integers(0, ITEMS, 60)],
                "position": pa.array(np.tile(np.arange(6), 10), pa.int32()),
                "split": ["train"] * 60,
            }
        ),
        workspace.events,
    )
    np.save(folder / "x.npy", generator.normal(size=(ITEMS, DIM)))
    (folder / "ids.txt").write_text("\n".join(ids))
    params = Params.model_validate({**SMALL, "source": {"path": str(folder)}, "content": {"dim": 6, **content}})
    workspace.state.mkdir()
    workspace.params.write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")
    for stage in ("content", "cooccurrence", "codebook", "sids"):
        execute(stage, params, workspace)
    return workspace


@pytest.fixture(scope="module")
def by_text(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return trained(tmp_path_factory.mktemp("text"), {"kind": "tfidf"})


@pytest.fixture(scope="module")
def by_vectors(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return trained(tmp_path_factory.mktemp("vectors"), {"kind": "precomputed", "embeddings": "x.npy", "ids": "ids.txt"})


@pytest.fixture
def clean(request: pytest.FixtureRequest, tmp_path: Path) -> Workspace:
    """A copy of the workspace that the test asks for."""
    source = request.getfixturevalue(getattr(request, "param", "by_text"))
    shutil.copytree(source.root, tmp_path / "work")
    return Workspace(tmp_path / "work")


VECTORS = pytest.mark.parametrize("clean", ["by_vectors"], indirect=True)


def write_texts(path: Path, ids: list[str], texts: list[str] | None = None, **columns: Any) -> Path:
    texts = texts if texts is not None else [f"soap brush {item}" for item in ids]
    pq.write_table(pa.table({"item_id": ids, "title": [f"New {i}" for i in ids], "text": texts, **columns}), path)
    return path


def write_vectors(path: Path, ids: list[str], vectors: Any) -> Path:
    pq.write_table(pa.table({"item_id": ids, "embedding": pa.array(np.asarray(vectors).tolist())}), path)
    return path


def ask(workspace: Workspace, items: Path, *arguments: str) -> Result:
    from s2gr.cli import app

    return CliRunner().invoke(app, ["assign", "--items", str(items), "--workdir", str(workspace.root), *arguments])


def refused(workspace: Workspace, items: Path, *arguments: str) -> str:
    """The one line of an error; nothing was written."""
    before = {path: path.read_bytes() for path in (workspace.root / "data").glob("*")}
    result = ask(workspace, items, *arguments)
    assert result.exit_code == 2, result.output
    assert {path: path.read_bytes() for path in (workspace.root / "data").glob("*")} == before
    line = result.stderr.strip()
    assert "\n" not in line
    return line


def test_new_items_get_free_ids_and_nothing_else_changes(clean: Workspace, tmp_path: Path) -> None:
    stages = {path: path.read_bytes() for path in clean.root.rglob("*") if path.is_file()}
    result = ask(clean, write_texts(tmp_path / "new.parquet", ["n1", "n2", "n3"]), "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["assigned"], told["total"], told["without_text"]) == (3, 3, 0)
    assert [item["title"] for item in told["items"]] == ["New n1", "New n2", "New n3"]
    assert all(path.read_bytes() == content for path, content in stages.items())
    joined, new = join_new_sids(read_codes(clean.sids), clean)
    assert new is not None
    assert new.sids.item_ids == ["n1", "n2", "n3"]
    assert new.sids.codes.tolist() == [item["sid"] for item in told["items"]]
    assert np.linalg.norm(new.content, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert len(np.unique(joined.codes, axis=0)) == ITEMS + 3
    assert joined.codes[:ITEMS].tolist() == read_codes(clean.sids).codes.tolist()
    # The trie over both leads to the new items, too.
    assert sorted(build_trie(joined.codes).leaf_item.tolist()) == list(range(ITEMS + 3))


def test_the_table_shows_items_and_ids(clean: Workspace, tmp_path: Path) -> None:
    result = ask(clean, write_texts(tmp_path / "new.parquet", ["n1"], [""]))
    assert "1 assigned; " in result.stdout
    assert "New n1" in result.stdout
    assert "1 without a text that says anything" in result.stdout
    assert "sids_new.parquet" in result.stdout


def test_a_second_batch_keeps_the_first(clean: Workspace, tmp_path: Path) -> None:
    ask(clean, write_texts(tmp_path / "a.parquet", ["n1", "n2"]))
    first = read_codes(new_sids_path(clean))
    told = json.loads(ask(clean, write_texts(tmp_path / "b.parquet", ["n3"], ["soap brush n1"]), "--json").stdout)
    assert (told["assigned"], told["total"]) == (1, 3)
    both = read_codes(new_sids_path(clean))
    assert both.item_ids == ["n1", "n2", "n3"]
    assert both.codes[:2].tolist() == first.codes.tolist()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 8), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_any_batches_leave_the_earlier_ones_as_they_were(
    by_text: Workspace, tmp_path_factory: pytest.TempPathFactory, sizes: list[int], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    folder = tmp_path_factory.mktemp("batches")
    earlier: list[list[int]] = []
    for batch, size in enumerate(sizes):
        ids = [f"n{batch}-{item}" for item in range(size)]
        file = write_texts(folder / f"{batch}.parquet", ids, [text(generator) for _ in ids])
        assign_new(by_text, Params.model_validate(SMALL), file, folder / "sids_new.parquet")
        now = read_codes(folder / "sids_new.parquet").codes.tolist()
        assert now[: len(earlier)] == earlier
        earlier = now
    everything = np.concatenate([read_codes(by_text.sids).codes, np.array(earlier)])
    assert len(np.unique(everything, axis=0)) == len(everything)


def test_an_item_with_a_text_of_the_catalogue_is_encoded_like_it(clean: Workspace, tmp_path: Path) -> None:
    """Its content embedding is that item's; the rest is co-occurrence, which it has none of."""
    from s2gr.content.frozen import content_model, load_content_model
    from s2gr.embeddings import read_embeddings

    known = pq.read_table(clean.items)["text"].to_pylist()
    embedded, _ = load_content_model(content_model(clean)).embed(known, Params().runtime)
    np.testing.assert_allclose(embedded, read_embeddings(clean.content)[1], atol=1e-6)


@VECTORS
def test_vectors_are_taken_where_the_catalogue_has_vectors(clean: Workspace, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    vectors = generator.normal(size=(3, DIM))
    # The same direction twice, and a third time at another length.
    file = write_vectors(tmp_path / "new.parquet", ["a", "b", "c", "d"], [*vectors, 7 * vectors[0]])
    told = json.loads(ask(clean, file, "--json").stdout)
    assert told["assigned"] == 4
    assert told["items"][0]["title"] == "a"
    assert told["items"][0]["sid"] != told["items"][3]["sid"]


@VECTORS
def test_text_is_not_enough_where_the_catalogue_has_vectors(clean: Workspace, tmp_path: Path) -> None:
    line = refused(clean, write_texts(tmp_path / "new.parquet", ["n1"]))
    assert "so new items need theirs: give them in a Parquet file as column `embedding`, lists of 12 numbers" in line


@VECTORS
@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([[np.nan] * DIM, [1.0] * DIM], "row 1, item 'a': the embedding is not finite"),
        ([[1.0] * DIM, [0.0] * DIM], "row 2, item 'b': the embedding is all zero"),
        ([[1.0] * 5, [1.0] * 5], "row 1, item 'a': the embedding has 5 numbers, the catalogue's have 12"),
        ([[1.0] * DIM, [1.0] * 5], "row 2, item 'b': the embedding has 5 numbers, the catalogue's have 12"),
    ],
)
def test_unusable_vectors_are_named(clean: Workspace, tmp_path: Path, vectors: Any, message: str) -> None:
    pq.write_table(pa.table({"item_id": ["a", "b"], "embedding": vectors}), tmp_path / "new.parquet")
    assert message in refused(clean, tmp_path / "new.parquet")


def test_known_items_are_refused(clean: Workspace, tmp_path: Path) -> None:
    line = refused(clean, write_texts(tmp_path / "new.parquet", ["n1", "i07", "i08"]))
    assert "row 2: item 'i07' has a semantic ID already" in line
    assert "sids.parquet (2 such items)" in line
    ask(clean, write_texts(tmp_path / "a.parquet", ["n1"]))
    assert "sids_new.parquet (1 such item)" in refused(clean, write_texts(tmp_path / "b.parquet", ["n2", "n1"]))


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["n1", "n2", "n1"], "item 'n1' stands in row 1 and again in row 3"),
        (["n1", " "], "row 2: the item id is missing"),
        ([], "has no rows; expected one for each new item"),
    ],
)
def test_faulty_ids_are_refused(clean: Workspace, tmp_path: Path, ids: list[str], message: str) -> None:
    schema = pa.schema([("item_id", pa.string()), ("title", pa.string()), ("text", pa.string())])
    columns = {"item_id": ids, "title": ids, "text": ids}
    pq.write_table(pa.table(columns, schema=schema), tmp_path / "new.parquet")
    assert message in refused(clean, tmp_path / "new.parquet")


def test_missing_columns_and_files_are_named(clean: Workspace, tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": ["n1"], "name": ["x"]}), tmp_path / "new.parquet")
    assert "expected column 'title', 'text', found item_id, name" in refused(clean, tmp_path / "new.parquet")
    assert "nowhere.parquet does not exist" in refused(clean, tmp_path / "nowhere.parquet")
    (tmp_path / "broken.parquet").write_text("no parquet")
    assert "broken.parquet is not readable" in refused(clean, tmp_path / "broken.parquet")


def test_csv_will_do_for_text(clean: Workspace, tmp_path: Path) -> None:
    (tmp_path / "new[1].csv").write_text("item_id,title,text\n196.0,A soap,soap oil\n")
    (tmp_path / "new1.csv").write_text("item_id,title,text\n197,A soap,soap oil\n")
    told = json.loads(ask(clean, tmp_path / "new[1].csv", "--json").stdout)
    assert told["items"][0]["item_id"] == "196"


def test_ids_are_those_that_the_log_would_have(clean: Workspace, tmp_path: Path) -> None:
    columns = {"item_id": [1e20, 197.0], "title": ["A soap", "A wig"], "text": ["soap oil", "wig"]}
    pq.write_table(pa.table(columns), tmp_path / "new.parquet")
    told = json.loads(ask(clean, tmp_path / "new.parquet", "--json").stdout)
    assert [item["item_id"] for item in told["items"]] == ["100000000000000000000", "197"]


def test_ids_of_another_run_of_the_pipeline_are_refused(clean: Workspace, tmp_path: Path) -> None:
    ask(clean, write_texts(tmp_path / "a.parquet", ["n1"]))
    table = pq.read_table(clean.sids)
    pq.write_table(table.set_column(1, "code_1", pa.array(table["code_1"].to_pylist()[::-1], pa.int32())), clean.sids)
    line = refused(clean, write_texts(tmp_path / "b.parquet", ["n2"]))
    assert "was made beside other semantic IDs" in line
    with pytest.raises(Exception, match="was made beside other semantic IDs"):
        join_new_sids(SemanticIds([], np.zeros((0, 3), np.int64)), clean)


def test_without_a_pipeline_the_error_says_what_to_run(tmp_path: Path) -> None:
    result = ask(Workspace(tmp_path), write_texts(tmp_path / "new.parquet", ["n1"]))
    assert result.exit_code == 2
    assert "sids.parquet is missing: run the stage" in result.stderr


def test_no_room_left_is_said(clean: Workspace, tmp_path: Path) -> None:
    line = refused(clean, write_texts(tmp_path / "new.parquet", [f"n{item}" for item in range(30)]))
    assert "70 items do not fit into 4^3 semantic IDs" in line
