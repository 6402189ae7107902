"""Embeddings that can't be quantised are told by item; peculiar ones are counted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from s2gr.codebook.inputs import check_finite, training_facts
from s2gr.errors import UserError

VALUES = st.floats(-2, 2, width=32) | st.sampled_from([float("nan"), float("inf"), -float("inf"), 3.4e38, -3.4e38])


@settings(max_examples=80, deadline=None)
@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=VALUES))
def test_the_first_item_that_is_not_finite_is_named(matrix: np.ndarray) -> None:
    ids = [f"i{row}" for row in range(len(matrix))]
    bad = np.flatnonzero(~np.isfinite(matrix).all(1))
    if not len(bad):
        check_finite(matrix, ids, "here")
        return
    with pytest.raises(UserError, match=rf"^here: .*row {bad[0] + 1} \(item 'i{bad[0]}'\).*; {len(bad)} of {len(ids)}"):
        check_finite(matrix, ids, "here")


def test_equal_and_zero_rows_are_counted() -> None:
    facts = training_facts(np.array([[0, 1], [0, 0], [-0.0, 1], [0, 1]], np.float32), list("abcd"), "here")
    assert (facts.items, facts.distinct, facts.zero) == (4, 2, 1)


@pytest.mark.parametrize("rows", [1, 5])
def test_a_single_point_is_refused(rows: int) -> None:
    with pytest.raises(UserError, match=f"all {rows} embeddings are equal"):
        training_facts(np.ones((rows, 3), np.float32), ["i"] * rows, "here")


def test_an_empty_catalogue_is_refused() -> None:
    with pytest.raises(UserError, match="holds no items"):
        training_facts(np.ones((0, 3), np.float32), [], "here")
