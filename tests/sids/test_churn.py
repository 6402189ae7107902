"""Churn between two tables of semantic IDs: raw, after renaming, and what renaming finds by chance."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.errors import UserError
from s2gr.sids.churn import best_renaming, compare
from s2gr.sids.semantic_ids import SemanticIds


def table(codes: np.ndarray, first: int = 0) -> SemanticIds:
    return SemanticIds([f"i{first + row}" for row in range(len(codes))], codes)


def test_renamed_codes_are_no_churn() -> None:
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 6, (200, 3))
    renamed = np.stack([generator.permutation(6)[codes[:, level]] for level in range(3)], 1)
    found = compare(table(codes), table(renamed))
    assert [level.aligned for level in found.levels] == [0, 0, 0]
    assert found.prefixes[-1].aligned == 0
    assert found.prefixes[-1].raw > 0.9
    assert 0.5 < found.levels[0].chance < 1


def test_shares_by_hand() -> None:
    before = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    # Codes of level 1 swapped, and one item moved on level 2.
    after = np.array([[1, 0], [1, 1], [0, 0], [0, 0]])
    found = compare(table(before), table(after))
    assert (found.levels[0].raw, found.levels[0].aligned) == (1, 0)
    assert (found.levels[1].raw, found.levels[1].aligned) == (0.25, 0.25)
    assert (found.prefixes[-1].raw, found.prefixes[-1].aligned) == (1, 0.25)


def test_only_common_items_are_compared_whatever_their_order() -> None:
    codes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    later = SemanticIds(["new", "i2", "i1"], np.array([[3, 3], [1, 0], [0, 1]]))
    found = compare(table(codes), later)
    assert (found.common, found.gone, found.new) == (2, 2, 1)
    assert found.prefixes[-1].raw == 0


@settings(max_examples=30, deadline=None)
@given(size=st.integers(2, 5), items=st.integers(1, 30), seed=st.integers(0, 999))
def test_the_renaming_is_the_best_of_all(size: int, items: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    old, new = generator.integers(0, size, (2, items))
    renaming = best_renaming(old, new)
    assert len(set(renaming.tolist())) == len(renaming)
    best = max(int((np.array(choice)[old] == new).sum()) for choice in permutations(range(size)))
    assert (renaming[old] == new).sum() == best


def test_the_report_names_levels_prefixes_and_the_whole_id() -> None:
    codes = np.random.default_rng(0).integers(0, 4, (20, 3))
    told = compare(table(codes), table(codes)).as_dict()
    assert list(told) == ["common", "gone", "new", "code_1", "code_2", "code_3", "prefix_2", "sid"]
    assert told["sid"]["raw"] == told["sid"]["aligned"] == 0


def test_what_cannot_be_compared_is_refused() -> None:
    codes = np.zeros((2, 3), int)
    with pytest.raises(UserError, match="of 2 levels can't be compared with those of 3"):
        compare(table(codes[:, :2]), table(codes))
    with pytest.raises(UserError, match="no item in common"):
        compare(table(codes), table(codes, first=5))
