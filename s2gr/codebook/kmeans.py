"""Residual k-means: each level's k-means++ seeds and Lloyd iterations on what the levels before left over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from s2gr.embeddings import Matrix

# Rows per code that k-means sees, which bounds its time at any catalogue size.
ROWS_PER_CODE = 256


@dataclass(frozen=True)
class Clustering:
    """k-means of ``N`` rows."""

    centres: Matrix  # float32 [codes, D]
    labels: npt.NDArray[np.integer]  # [N]
    iterations: int


def residual_kmeans(
    latent: Matrix, levels: int, codes: int, iterations: int, seed: int, start: Matrix | None = None
) -> Iterator[tuple[Clustering, float]]:
    """Cluster ``[N, D]`` level by level; with each clustering comes the mean squared residual that it leaves.

    Args:
        iterations: at most; Lloyd stops when the centres stand still.
        start: centres ``[levels, codes, D]`` to start from, in place of k-means++ seeds.
    """
    residual = latent
    for level in range(levels):
        found = kmeans(residual, codes, iterations, seed + level, None if start is None else start[level])
        residual = residual - found.centres[found.labels]
        yield found, float(np.einsum("nd,nd->", residual, residual, dtype=np.float64) / len(residual))


def kmeans(rows: Matrix, codes: int, iterations: int, seed: int, start: Matrix | None = None) -> Clustering:
    """k-means of ``[N, D]``, seeded by k-means++ unless ``start`` ``[codes, D]`` is given.

    With no more distinct rows than codes, each is a centre, and the remaining ones are rows with a little noise.
    """
    distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
    if len(distinct) <= codes:
        return Clustering(_padded(distinct, codes, seed), inverse.reshape(-1), 0)
    # One thread: the order in which several add up their partial sums is not fixed, hence neither are the bytes.
    with threadpool_limits(1):
        init = "k-means++" if start is None else start
        fitted = KMeans(codes, init=init, n_init=1, max_iter=iterations, random_state=seed).fit(rows)
    return Clustering(fitted.cluster_centers_.astype(np.float32), fitted.labels_, int(fitted.n_iter_))


def sample_rows(rows: int, codes: int, seed: int) -> slice | npt.NDArray[np.int64]:
    """Which of ``rows`` rows k-means sees: all, or a sorted sample without replacement."""
    limit = ROWS_PER_CODE * codes
    if rows <= limit:
        return slice(None)
    return np.sort(np.random.default_rng(seed).choice(rows, limit, replace=False))


def _padded(distinct: Matrix, codes: int, seed: int) -> Matrix:
    generator = np.random.default_rng(seed)
    extra = generator.choice(len(distinct), codes - len(distinct))
    scale = max(float(distinct.std()), 1e-6)
    noise = generator.normal(0, 0.01 * scale, (len(extra), distinct.shape[1]))
    return np.concatenate([distinct, distinct[extra] + noise]).astype(np.float32)
