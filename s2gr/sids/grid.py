"""Squared distances that no chunk size, thread or order of summation can change in their last bit.

Vectors are rounded to a grid of 2⁻ᵇ of their largest coordinate, b = 22 for 32 dimensions and 19 for 4096: about
the precision of float32. Products and sums of such integers are exact in float64, so equal items have equal distances,
and the assignment that is made from them does not hang on how the work was cut.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from s2gr.embeddings import Matrix
from s2gr.errors import UserError
from s2gr.sids.prefixes import IntArray

# Whole numbers; float64 because that is what matrix products are fast in.
GridArray = npt.NDArray[np.float64]

# float64 holds every whole number below 2^53.
_BITS = 53


@dataclass(frozen=True)
class Grid:
    """Code vectors on the grid, and the scale that brings other vectors there.

    A vector that is quantised may be ``latent`` less any chain of code vectors: the scale leaves room for it.
    """

    scale: float
    vectors: GridArray  # [L, K, D]

    @staticmethod
    def of(latent: Matrix, vectors: Matrix, chunk: int) -> Grid:
        """The grid for ``latent`` ``[items, D]`` and code vectors ``[L, K, D]``.

        Raises: UserError: if a latent vector is not finite, naming its row.
        """
        largest = 0.0
        for start in range(0, len(latent), chunk):
            part = latent[start : start + chunk]
            finite = np.isfinite(part).all(1)
            if not finite.all():
                row = start + int(finite.argmin()) + 1
                raise UserError(
                    f"item {row} of {len(latent)}: its latent vector is not finite (NaN or infinity); "
                    "look at the item's embedding, and train the codebook again"
                )
            largest = max(largest, float(np.abs(part).max()))
        largest += float(np.abs(vectors).max((1, 2)).sum(dtype=np.float64))
        # ‖r − e‖² = ‖r‖² − 2 r·e + ‖e‖² ≤ 4 D · largest² must stay below 2^53.
        bits = (_BITS - 3 - int(np.ceil(np.log2(vectors.shape[2])))) // 2
        scale = 2.0 ** (bits - np.ceil(np.log2(largest))) if largest > 0 else 1.0
        return Grid(float(scale), np.rint(vectors.astype(np.float64) * scale))

    def residuals(self, latent: Matrix, codes: IntArray) -> GridArray:
        """``latent`` ``[R, D]`` less the code vectors of ``codes`` ``[R, l]``, on the grid."""
        residuals: GridArray = np.rint(latent.astype(np.float64) * self.scale)
        for level in range(codes.shape[1]):
            residuals -= self.vectors[level][codes[:, level]]
        return residuals

    def distances(self, residuals: GridArray, level: int) -> GridArray:
        """Exact squared distances ``[R, K]`` of ``residuals`` ``[R, D]`` to the code vectors of ``level``."""
        vectors = self.vectors[level]
        distances: GridArray = residuals @ (-2 * vectors.T)
        distances += np.einsum("kd,kd->k", vectors, vectors)
        distances += np.einsum("rd,rd->r", residuals, residuals)[:, None]
        return distances
