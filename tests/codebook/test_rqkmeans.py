"""Kind `rqkmeans`: k-means of the embeddings themselves, and nothing else."""

import numpy as np
import pytest
import torch

from s2gr.codebook.kmeans import kmeans
from s2gr.codebook.rqkmeans import RQKMeans
from s2gr.embeddings import Matrix
from s2gr.params import Codebook

SECTION = Codebook(kind="rqkmeans", levels=2, codes=5, latent_dim=3)


@pytest.fixture
def fitted(embeddings: Matrix) -> RQKMeans:
    model = RQKMeans(6, SECTION)
    model.fit(embeddings, seed=1)
    return model


def test_levels_are_the_k_means_of_the_residuals(fitted: RQKMeans, embeddings: Matrix) -> None:
    residual = fitted.encode(embeddings).numpy()
    assert residual.shape == (60, 6)
    for level in range(2):
        found = kmeans(residual, 5, 300, seed=1 + level)
        np.testing.assert_array_equal(fitted.vectors[level], found.centres)
        residual = residual - found.centres[found.labels]


def test_reconstruction_is_the_sum_of_the_code_vectors(fitted: RQKMeans, embeddings: Matrix) -> None:
    rows = fitted.fit(embeddings, seed=1)
    codes = fitted.nearest(fitted.encode(embeddings))
    # Standardised rows have 6 dimensions of mean variance 1.
    assert fitted.reconstruction_error(embeddings, codes) == pytest.approx(rows[-1]["reconstruction"] / 6, rel=1e-3)
    assert rows[1]["reconstruction"] < rows[0]["reconstruction"]


def test_refitting_does_not_depend_on_what_was_there(fitted: RQKMeans, embeddings: Matrix) -> None:
    before = fitted.vectors.clone()
    fitted.fit(embeddings, seed=1)
    assert torch.equal(fitted.vectors, before)


def test_balanced_choice_is_the_plain_one(fitted: RQKMeans, embeddings: Matrix) -> None:
    fitted.quantizer.usage.copy_(torch.rand(2, 5) * 5)
    latent = fitted.encode(embeddings)
    assert torch.equal(fitted.nearest(latent, balanced=True), fitted.nearest(latent))
