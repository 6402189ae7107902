"""Collaborative alignment, S²GR (docs/method.md §1): content embeddings spread over the co-occurrence graph.

``Â = D^{-1/2} A D^{-1/2}``, ``H⁽⁰⁾ = X``, ``H⁽ᵏ⁾ = (1−α) Â H⁽ᵏ⁻¹⁾ + α X`` and
``H_align = Σ_k β_k H⁽ᵏ⁾`` with ``β_k ∝ α(1−α)^k``, k = 0 … K_g.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

Matrix = npt.NDArray[np.float32]


def symmetric_adjacency(
    first: npt.NDArray[np.integer], second: npt.NDArray[np.integer], counts: npt.NDArray[np.integer], items: int
) -> sparse.csr_array:
    """Float32 CSR ``[items, items]`` from unordered pairs, each given once."""
    rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
    values = np.concatenate([counts, counts]).astype(np.float32)
    return sparse.csr_array((values, (rows, columns)), shape=(items, items))


def propagate(content: Matrix, adjacency: sparse.csr_array, teleport: float, steps: int) -> Matrix:
    """Blend each item's content with its neighbours' (docs/method.md §1).

    Args:
        content: float32 ``[items, dim]``, rows of unit norm.
        adjacency: symmetric CSR ``[items, items]`` of co-occurrence counts.
        teleport: α in (0, 1]; 1 returns ``content`` unchanged.
        steps: number of propagation steps, K_g; 0 returns ``content`` unchanged.
    Returns: float32 ``[items, dim]``, not normalised; an item without an edge keeps its content.
    Raises: ValueError: if the two disagree on the number of items, or ``teleport`` or ``steps`` is out of range.
    """
    items = content.shape[0]
    if adjacency.shape != (items, items):
        raise ValueError(f"{items} items have content, but the adjacency is {adjacency.shape}")
    if not 0 < teleport <= 1 or steps < 0:
        raise ValueError(f"expected 0 < teleport <= 1 and steps >= 0, found {teleport} and {steps}")
    if teleport == 1 or steps == 0:
        return content.copy()
    degree = np.asarray(adjacency.sum(axis=1), dtype=np.float64).ravel()
    connected = degree > 0
    scale = np.zeros_like(degree)
    scale[connected] = degree[connected] ** -0.5
    diagonal = sparse.diags_array(scale.astype(np.float32))
    normalised = (diagonal @ adjacency @ diagonal).tocsr()
    weights = teleport * (1 - teleport) ** np.arange(steps + 1)
    weights = (weights / weights.sum()).astype(np.float32)

    hidden = content
    aligned = weights[0] * content
    for weight in weights[1:]:
        hidden = np.float32(1 - teleport) * (normalised @ hidden) + np.float32(teleport) * content
        aligned += weight * hidden
    # Without a neighbour only α X comes in: the same direction, but shrunk.
    aligned[~connected] = content[~connected]
    return aligned
