"""Content from words alone: TF-IDF of one- and two-word terms, then a truncated SVD (latent semantic analysis)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from s2gr.embeddings import Matrix, has_direction, unit_rows
from s2gr.errors import UserError
from s2gr.workspace import read_json, write_json

# A term of one item only tells nothing about another, unless there are hardly any items.
_MIN_ITEMS = 2
_TERMS, _WEIGHTS = "terms.json", "tfidf.safetensors"


@dataclass(frozen=True)
class TfidfModel:
    """The fitted map from text to embedding, for texts that were not there when it was fitted."""

    terms: list[str]
    idf: Matrix  # [terms]
    components: Matrix  # [dim, terms]
    # Of a text without a known term: the mean direction of the others.
    fallback: Matrix  # [dim]

    def embed(self, texts: Sequence[str]) -> tuple[Matrix, npt.NDArray[np.bool_]]:
        """Float32 ``[texts, dim]`` with unit rows, and which of the texts have a known term."""
        vectoriser = _vectoriser(vocabulary=self.terms)
        vectoriser.idf_ = self.idf.astype(np.float64)
        weights = vectoriser.transform(texts).tocsr()
        embeddings = unit_rows((weights @ self.components.T.astype(np.float64)).astype(np.float32))
        known = has_direction(embeddings) & (np.diff(weights.indptr) > 0)
        embeddings[~known] = self.fallback
        return embeddings, known

    def save(self, folder: Path) -> None:
        """Write ``terms.json`` and ``tfidf.safetensors``."""
        write_json({"terms": self.terms}, folder / _TERMS)
        tensors = {"idf": self.idf, "components": self.components, "fallback": self.fallback}
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, folder / _WEIGHTS)

    @staticmethod
    def load(folder: Path) -> TfidfModel:
        """Read what :meth:`save` wrote."""
        return TfidfModel(read_json(folder / _TERMS)["terms"], **load_file(folder / _WEIGHTS))


@dataclass(frozen=True)
class TfidfEmbeddings:
    """What the vectoriser found."""

    # float32 [items, dim], unit rows
    embeddings: Matrix
    model: TfidfModel
    terms: int
    # Share of the TF-IDF variance that the SVD keeps.
    explained_variance: float
    # Items without any known term: they got the mean of all others.
    without_terms: int
    # Items of which no term is another one's, those included.
    alone: int


def embed_tfidf(texts: Sequence[str], dim: int, seed: int) -> TfidfEmbeddings:
    """Embed ``texts``; at most ``dim`` dimensions, fewer where there are fewer terms or items.

    An item without a known term gets the mean direction of the others: no opinion rather than a false one.

    Raises: UserError: if no text holds a word.
    """
    if not any(text.strip() for text in texts):
        raise UserError(
            "content.kind tfidf: every item's text is empty; let a file of items land (data/batches.parquet says what "
            "became of each file), name its text in source.item_columns.text, or use content.kind precomputed"
        )
    vectoriser, weights = _fit(texts)
    if weights.shape[1] == 1:
        # A single term spans a single dimension; there is nothing to reduce.
        reduced, components, kept = weights.toarray(), np.ones((1, 1)), 1.0
    else:
        reduced, components, kept = _reduce(weights, min(dim, *weights.shape), seed)
    embeddings = unit_rows(reduced.astype(np.float32))
    known = has_direction(embeddings) & (np.diff(weights.indptr) > 0)
    fallback = _mean_direction(embeddings[known])
    embeddings[~known] = fallback
    terms = vectoriser.get_feature_names_out().tolist()
    model = TfidfModel(terms, vectoriser.idf_.astype(np.float32), components.astype(np.float32), fallback[0])
    return TfidfEmbeddings(embeddings, model, len(terms), kept, int((~known).sum()), _alone(weights))


def _alone(weights: Any) -> int:
    """Rows of the CSR ``weights`` that no other row has a term in common with."""
    shared = np.flatnonzero(np.bincount(weights.indices, minlength=weights.shape[1]) > 1)
    return int((np.diff(weights[:, shared].indptr) == 0).sum())


def _reduce(weights: Any, rank: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
    """Float64 ``[items, rank]``, the components ``[rank, terms]``, and the share of the variance that is kept.

    ``weights`` is CSR ``[items, terms]``.
    """
    svd = TruncatedSVD(rank, algorithm="randomized", n_iter=7, random_state=seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        reduced = svd.fit_transform(weights)
    # A component's sign is arbitrary: its largest loading is made positive.
    loadings = svd.components_
    sign = np.sign(loadings[np.arange(rank), np.abs(loadings).argmax(axis=1)])
    kept = float(svd.explained_variance_ratio_.sum())
    # Equal texts have no variance that could be kept or lost.
    return reduced * sign, loadings * sign[:, None], kept if np.isfinite(kept) else 1.0


def _vectoriser(**options: Any) -> Any:
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float64, **options)


def _fit(texts: Sequence[str]) -> tuple[Any, Any]:
    """The fitted vectoriser, and TF-IDF as CSR ``[items, terms]``."""
    for least in (_MIN_ITEMS, 1):
        vectoriser = _vectoriser(min_df=least)
        try:
            return vectoriser, vectoriser.fit_transform(texts).tocsr()
        except ValueError:
            # scikit-learn's way to say that no term is left.
            continue
    raise UserError(
        "content.kind tfidf: no item's text holds a word of two letters or more; use content.kind precomputed"
    )


def _mean_direction(embeddings: Matrix) -> Matrix:
    mean = unit_rows(embeddings.mean(axis=0, keepdims=True))
    if has_direction(mean)[0]:
        return mean
    # The rows cancel out: any fixed direction will do.
    return np.eye(1, embeddings.shape[1], dtype=np.float32)
