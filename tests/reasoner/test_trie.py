"""The trie holds exactly the items' codes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from s2gr.reasoner.trie import build_trie


@settings(max_examples=50, deadline=None)
@given(st.sets(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_every_path_leads_to_its_item_and_no_other_exists(rows: set[tuple[int, ...]], shuffle) -> None:
    ordered = sorted(rows)
    shuffle.shuffle(ordered)
    codes = np.array(ordered)
    trie = build_trie(codes)
    paths: list[tuple[tuple[int, ...], int]] = [((), 0)]
    for first, code in zip(trie.first, trie.code, strict=True):
        paths = [
            ((*path, int(code[child])), child) for path, node in paths for child in range(first[node], first[node + 1])
        ]
    found = {path: int(trie.leaf_item[leaf]) for path, leaf in paths}
    assert found == {tuple(row): index for index, row in enumerate(codes.tolist())}
    assert list(found) == sorted(found)
