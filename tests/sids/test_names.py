"""Names of level-1 codes: telling, deterministic, silent where there is nothing to say."""

import numpy as np
import pytest

from s2gr.sids.names import name_codes

SHAMPOO = ["Shampoo dry hair 12 oz", "The shampoo for oily hair, 8 oz", "Best shampoos 300 ml for hair"]
LIPSTICK = ["Red lipstick for lips", "Pink lipstick lips 2 oz", "Lipsticks, matte"]
CODES = np.array([0] * 3 + [2] * 3)


def test_names_say_what_sets_a_code_apart() -> None:
    names = name_codes(CODES, 3, SHAMPOO + LIPSTICK)
    assert names == ["hair, shampoo", "", "lips, lipstick"]


def test_scores_are_class_based_tfidf() -> None:
    # Code 0: apple ×3, pear ×2, fig ×2; code 1: fig ×2, plum ×2. A = 11 / 2 terms a class.
    texts = ["apple pear fig", "apple pear fig", "apple", "fig plum", "fig plum", "mango", "kiwi", "lemon", "melon"]
    codes = np.array([0, 0, 0, 1, 1, 1, 1, 1, 1])
    score = {"apple": 3 * np.log(1 + 5.5 / 3), "pear": 2 * np.log(1 + 5.5 / 2), "fig": 2 * np.log(1 + 5.5 / 4)}
    expected = sorted(score, key=lambda term: -score[term])
    assert name_codes(codes, 2, texts)[0] == ", ".join(expected)


def test_ties_go_by_the_alphabet_whatever_the_order_of_the_items() -> None:
    texts = ["zebra yak aardvark", "yak aardvark zebra", "cat dog", "dog cat", "x1", "x2"]
    codes = np.array([0, 0, 1, 1, 2, 2])
    assert name_codes(codes, 3, texts)[:2] == ["aardvark, yak, zebra", "cat, dog"]
    order = np.array([5, 3, 0, 2, 1, 4])
    assert name_codes(codes[order], 3, [texts[row] for row in order])[:2] == ["aardvark, yak, zebra", "cat, dog"]


def test_stop_words_amounts_and_other_forms_of_a_word_are_left_out() -> None:
    texts = ["the women's brushes 12 oz pack, women", "women's brush, brushes, women 3 oz", *["men", "other"] * 2]
    assert name_codes(np.array([0, 0, 1, 2, 1, 2]), 3, texts)[0] in {"brushes, women", "brushes, women's"}


def test_a_term_of_one_item_among_many_names_nothing() -> None:
    texts = ["common unusual", *["common"] * 9, *["else"] * 10, "unusual"]
    names = name_codes(np.array([0] * 10 + [1] * 10 + [2]), 3, texts)
    assert names[0] == "common"


@pytest.mark.parametrize("texts", [["", "", ""], ["!", "?", "."], ["a", "b", "c"], ["one", "two", "three"]])
def test_texts_that_say_nothing_give_empty_names(texts: list[str]) -> None:
    assert name_codes(np.array([0, 0, 1]), 2, texts) == ["", ""]


def test_a_large_code_is_read_in_wide_steps() -> None:
    # 1000 items of one code, in two halves: both show in the name though 200 are read.
    texts = ["first half"] * 500 + ["second part"] * 500 + ["other thing"] * 2000
    assert set(name_codes(np.array([0] * 1000 + [1] * 2000), 2, texts)[0].split(", ")) <= {"half", "second"}
