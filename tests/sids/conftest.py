"""Assignment problems: latent vectors, each item's nearest codes, and code vectors."""

from collections.abc import Callable

import numpy as np
import pytest

Problem = tuple[np.ndarray, np.ndarray, np.ndarray]


def _nearest_codes(latent: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    residual, codes = latent.copy(), []
    for level in vectors:
        code = ((residual[:, None] - level[None]) ** 2).sum(2).argmin(1)
        codes.append(code)
        residual = residual - level[code]
    return np.stack(codes, 1)


@pytest.fixture(scope="session")
def nearest_codes() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Greedy codes ``[items, L]`` of ``latent`` ``[items, D]`` for ``vectors`` ``[L, K, D]``."""
    return _nearest_codes


@pytest.fixture(scope="session")
def problem() -> Callable[..., Problem]:
    """``(items, size, levels, seed, spread)``; ``spread`` 0 makes all items equal, a small one crowds them."""

    def make(items: int, size: int, levels: int, seed: int, spread: float = 1.0) -> Problem:
        generator = np.random.default_rng(seed)
        latent = (spread * generator.normal(size=(items, 3))).astype(np.float32)
        vectors = generator.normal(size=(levels, size, 3)).astype(np.float32)
        return latent, _nearest_codes(latent, vectors), vectors

    return make
