"""The best k by a stable sort."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from s2gr.reasoner.top import top_items

ROWS = st.lists(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, -torch.inf]), min_size=6, max_size=6), min_size=1, max_size=5
)


@given(rows=ROWS, k=st.integers(1, 8))
def test_top_items_are_the_first_of_a_stable_sort(rows: list[list[float]], k: int) -> None:
    values, items = top_items(torch.tensor(rows), k)
    for row, found, scores in zip(rows, items.tolist(), values.tolist(), strict=True):
        expected = sorted(range(6), key=lambda item, row=row: (-row[item], item))[:k]
        assert scores == [row[item] for item in expected]
        assert found == [item if row[item] > -torch.inf else -1 for item in expected]


@given(seed=st.integers(0, 2**32 - 1), distinct=st.integers(1, 400), items=st.integers(1200, 1400))
def test_the_best_of_a_large_catalogue_are_found_piece_by_piece(seed: int, distinct: int, items: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(distinct, (3, items), generator=generator).float()
    scores[scores == 0] = -torch.inf
    values, found = top_items(scores, 3)
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :3]
    assert values.equal(scores.gather(1, order))
    assert found.equal(order.masked_fill(values == -torch.inf, -1))


def test_many_equal_scores_are_ranked_by_index() -> None:
    scores = torch.zeros(3, 5000)
    scores[1, 4000] = 1.0
    assert top_items(scores, 3)[1].tolist() == [[0, 1, 2], [4000, 0, 1], [0, 1, 2]]
