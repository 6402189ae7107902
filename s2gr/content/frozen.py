"""The content stage's map from an item to its embedding, kept for items that come later.

``models/content`` holds ``config.json`` (kind, width, model) and, for TF-IDF, the fitted vocabulary and components.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from s2gr.content.tfidf import TfidfModel
from s2gr.embeddings import Matrix
from s2gr.errors import UserError
from s2gr.params import Content, Runtime
from s2gr.workspace import Workspace, read_json, write_json

_CONFIG = "config.json"


def content_model(workspace: Workspace) -> Path:
    """The folder ``models/content``."""
    return workspace.root / "models/content"


def save_content_model(folder: Path, content: Content, dim: int, tfidf: TfidfModel | None) -> None:
    """Write how embeddings of width ``dim`` came about."""
    write_json({"kind": content.kind, "dim": dim, "model": content.model}, folder / _CONFIG)
    if tfidf is not None:
        tfidf.save(folder)


@dataclass(frozen=True)
class FrozenContent:
    """How the catalogue's content embeddings came about."""

    kind: str
    dim: int
    # Of sentence-transformers: a name or a folder.
    model: str | None
    tfidf: TfidfModel | None

    def embed(self, texts: Sequence[str], runtime: Runtime) -> tuple[Matrix, int]:
        """Float32 ``[texts, dim]`` with unit rows, by the catalogue's own method; how many texts say nothing to it.

        Raises: UserError: the embeddings were the user's own, or the model can't be loaded or has another width now.
        """
        if self.tfidf is not None:
            embeddings, known = self.tfidf.embed(texts)
            return embeddings, int((~known).sum())
        if self.model is None:
            raise UserError(
                "the catalogue's content embeddings are your own (content.kind precomputed), so new items need theirs: "
                f"give them in a Parquet file as column `embedding`, lists of {self.dim} numbers"
            )
        from s2gr.content.language_model import embed_sentences

        embeddings = embed_sentences(texts, self.model, runtime)
        if embeddings.shape[1] != self.dim:
            raise UserError(
                f"content.model {self.model!r} gives {embeddings.shape[1]} dimensions, the catalogue was embedded with "
                f"{self.dim}: it is another model now; run the pipeline again"
            )
        return embeddings, sum(not text.strip() for text in texts)


def load_content_model(folder: Path) -> FrozenContent:
    """Read what :func:`save_content_model` wrote. Raises: UserError: if it is missing or damaged."""
    if not (folder / _CONFIG).exists():
        raise UserError(f"{folder} is missing: run the stage `content` first (`dvc repro`, or `s2gr run`)")
    try:
        config = read_json(folder / _CONFIG)
        tfidf = TfidfModel.load(folder) if config["kind"] == "tfidf" else None
        model = config["model"] if config["kind"] == "sentence-transformers" else None
        return FrozenContent(config["kind"], config["dim"], model, tfidf)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} is damaged ({error}); run the stage `content` again") from error
