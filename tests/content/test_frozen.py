"""The content stage keeps its map from text to embedding."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from s2gr.content.frozen import content_model, load_content_model
from s2gr.embeddings import read_embeddings
from s2gr.errors import UserError
from s2gr.params import Params, Runtime
from s2gr.stage import execute
from s2gr.workspace import Workspace, write_table

TEXTS = ["red apple", "green apple", "steel hammer", "steel hammer", ""]


def run(folder: Path, **content: Any) -> Workspace:
    workspace = Workspace(folder)
    ids = list("abcde")
    write_table(pa.table({"item_id": ids, "title": ids, "text": TEXTS}), workspace.items)
    execute("content", Params.model_validate({"source": {"path": folder}, "content": content}), workspace)
    return workspace


def test_the_catalogues_texts_get_their_embeddings_again(tmp_path: Path) -> None:
    workspace = run(tmp_path, kind="tfidf", dim=3)
    content = load_content_model(content_model(workspace))
    embeddings, without = content.embed(TEXTS, Runtime())
    np.testing.assert_allclose(embeddings, read_embeddings(workspace.content)[1], atol=1e-6)
    assert without == 1
    assert content.dim == embeddings.shape[1]


def test_ready_vectors_have_no_map_from_text(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(5))
    (tmp_path / "ids.txt").write_text("a\nb\nc\nd\ne\n")
    content = load_content_model(content_model(run(tmp_path, kind="precomputed", embeddings="x.npy", ids="ids.txt")))
    assert content.dim == 5
    with pytest.raises(UserError, match="column `embedding`, lists of 5 numbers"):
        content.embed(["red apple"], Runtime())


def test_a_missing_or_damaged_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run the stage `content` first"):
        load_content_model(tmp_path / "models/content")
    workspace = run(tmp_path, kind="tfidf", dim=3)
    folder = content_model(workspace)
    (folder / "tfidf.safetensors").write_bytes(b"cut off")
    with pytest.raises(UserError, match="is damaged"):
        load_content_model(folder)
    (folder / "config.json").write_text(json.dumps({"kind": "tfidf"}))
    with pytest.raises(UserError, match="is damaged"):
        load_content_model(folder)
