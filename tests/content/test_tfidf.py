"""TF-IDF content: unit rows, the same bytes every time, and sense in tiny or empty catalogues."""

from pathlib import Path

import numpy as np
import pytest

from s2gr.content.tfidf import TfidfModel, embed_tfidf
from s2gr.errors import UserError

TEXTS = ["red apple fruit", "green apple fruit", "steel hammer tool", "iron hammer tool", "red hammer"]


def test_rows_have_unit_length_and_like_texts_lie_together() -> None:
    result = embed_tfidf(TEXTS, 3, seed=0)
    assert result.embeddings.shape == (5, 3)
    assert result.embeddings.dtype == np.float32
    assert np.linalg.norm(result.embeddings, axis=1) == pytest.approx(np.ones(5), abs=1e-6)
    cosine = result.embeddings @ result.embeddings.T
    assert cosine[0, 1] > cosine[0, 2]
    assert cosine[2, 3] > cosine[1, 3]
    assert 0 < result.explained_variance <= 1


def test_the_same_texts_give_the_same_bytes() -> None:
    assert embed_tfidf(TEXTS, 3, 0).embeddings.tobytes() == embed_tfidf(TEXTS, 3, 0).embeddings.tobytes()


def test_signs_do_not_depend_on_the_seed() -> None:
    one, other = embed_tfidf(TEXTS, 2, 0).embeddings, embed_tfidf(TEXTS, 2, 7).embeddings
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_there_are_at_most_as_many_dimensions_as_terms_and_items_allow() -> None:
    assert embed_tfidf(TEXTS, 128, 0).embeddings.shape == (5, 5)


@pytest.mark.parametrize(
    "texts", [["film"] * 6 + ["music"] * 4, ["film", "music", "books", "games", "tools"], ["film", "music"]]
)
def test_categories_of_one_word_stay_apart(texts: list[str]) -> None:
    result = embed_tfidf(texts, 128, 0)
    assert result.without_terms == 0
    same = [[float(one == other) for other in texts] for one in texts]
    np.testing.assert_allclose(result.embeddings @ result.embeddings.T, same, atol=1e-6)


def test_an_item_without_a_known_term_gets_the_mean_direction() -> None:
    result = embed_tfidf([*TEXTS, "", "unheard"], 3, 0)
    assert result.without_terms == 2
    others = result.embeddings[:5].mean(axis=0)
    for row in (5, 6):
        np.testing.assert_allclose(result.embeddings[row], others / np.linalg.norm(others), atol=1e-6)


def test_a_catalogue_too_small_for_shared_terms_uses_all_terms() -> None:
    result = embed_tfidf(["alpha", "beta", "gamma delta"], 2, 0)
    assert result.terms == 5
    # Three texts without a common term in two dimensions: what is left of one of them may be rounding error.
    assert result.without_terms <= 1


@pytest.mark.parametrize(
    "texts", [["alpha"], ["alpha beta gamma"], ["alpha", "alpha", ""], ["alpha beta"] * 3, ["a1 b2 c3"] * 50]
)
def test_a_catalogue_without_variety_has_embeddings_all_the_same(texts: list[str]) -> None:
    result = embed_tfidf(texts, 128, 0)
    assert np.linalg.norm(result.embeddings, axis=1) == pytest.approx(np.ones(len(texts)))
    assert np.isfinite(result.explained_variance)


def test_no_text_at_all_is_refused() -> None:
    with pytest.raises(UserError, match="every item's text is empty"):
        embed_tfidf(["", "  "], 2, 0)
    with pytest.raises(UserError, match="no item's text holds a word"):
        embed_tfidf(["!", "?"], 2, 0)


def test_the_saved_model_embeds_the_texts_as_before_and_new_ones(tmp_path: Path) -> None:
    texts = [*TEXTS, "", "unheard"]
    fitted = embed_tfidf(texts, 3, seed=0)
    fitted.model.save(tmp_path)
    model = TfidfModel.load(tmp_path)
    again, known = model.embed(texts)
    np.testing.assert_allclose(again, fitted.embeddings, atol=1e-6)
    assert known.tolist() == [True] * 5 + [False] * 2
    new, known = model.embed(["a red apple tool, quite unheard of", "nothing of it"])
    assert known.tolist() == [True, False]
    assert np.linalg.norm(new, axis=1) == pytest.approx(np.ones(2), abs=1e-6)
    assert new[0] @ fitted.embeddings[0] > new[0] @ fitted.embeddings[3]
    np.testing.assert_array_equal(new[1], again[5])


def test_the_model_of_a_single_term_is_saved_too(tmp_path: Path) -> None:
    fitted = embed_tfidf(["alpha", "alpha", ""], 128, 0)
    fitted.model.save(tmp_path)
    np.testing.assert_array_equal(TfidfModel.load(tmp_path).embed(["alpha", "beta"])[0], [[1.0], [1.0]])
