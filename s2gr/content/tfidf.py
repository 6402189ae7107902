"""Content from words alone: TF-IDF of one- and two-word terms, then a truncated SVD (latent semantic analysis)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from s2gr.embeddings import Matrix, has_direction, unit_rows
from s2gr.errors import UserError

# A term of one item only tells nothing about another, unless there are hardly any items.
_MIN_ITEMS = 2


@dataclass(frozen=True)
class TfidfEmbeddings:
    """What the vectoriser found."""

    # float32 [items, dim], unit rows
    embeddings: Matrix
    terms: int
    # Share of the TF-IDF variance that the SVD keeps.
    explained_variance: float
    # Items without any known term: they got the mean of all others.
    without_terms: int


def embed_tfidf(texts: Sequence[str], dim: int, seed: int) -> TfidfEmbeddings:
    """Embed ``texts``; at most ``dim`` dimensions, fewer where there are fewer terms or items.

    An item without a known term gets the mean direction of the others: no opinion rather than a false one.

    Raises: UserError: if no text holds a word.
    """
    if not any(text.strip() for text in texts):
        raise UserError(
            "content.kind tfidf: every item's text is empty; name text columns in source.item_columns.text, "
            "or use content.kind precomputed"
        )
    weights = _weights(texts)
    if weights.shape[1] == 1:
        # A single term spans a single dimension; there is nothing to reduce.
        reduced, kept = weights.toarray(), 1.0
    else:
        reduced, kept = _reduce(weights, max(1, min(dim, weights.shape[1] - 1, weights.shape[0] - 1)), seed)
    embeddings = unit_rows(reduced.astype(np.float32))
    known = has_direction(embeddings) & (np.diff(weights.indptr) > 0)
    embeddings[~known] = _mean_direction(embeddings[known])
    return TfidfEmbeddings(embeddings, weights.shape[1], kept, int((~known).sum()))


def _reduce(weights: Any, rank: int, seed: int) -> tuple[npt.NDArray[np.float64], float]:
    """Float64 ``[items, rank]`` and the share of the variance that is kept; ``weights`` is CSR ``[items, terms]``."""
    svd = TruncatedSVD(rank, algorithm="randomized", n_iter=7, random_state=seed)
    with np.errstate(invalid="ignore"):
        reduced = svd.fit_transform(weights)
    # A component's sign is arbitrary: its largest loading is made positive.
    loadings = svd.components_
    reduced = reduced * np.sign(loadings[np.arange(rank), np.abs(loadings).argmax(axis=1)])
    kept = float(svd.explained_variance_ratio_.sum())
    # Equal texts have no variance that could be kept or lost.
    return reduced, kept if np.isfinite(kept) else 1.0


def _weights(texts: Sequence[str]) -> Any:
    """TF-IDF as CSR ``[items, terms]``."""
    for least in (_MIN_ITEMS, 1):
        vectoriser = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=least, dtype=np.float64)
        try:
            return vectoriser.fit_transform(texts).tocsr()
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
