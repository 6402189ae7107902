from __future__ import annotations

from collections.abc import Callable

import numpy as np

from s2gr.cases import build_cases
from s2gr.evaluation.slices import popularity_thirds, slices
from s2gr.sequences import load_sequences
from s2gr.walk import WalkCounts
from s2gr.workspace import Workspace

MakeLog = Callable[[dict[str, list[str]]], Workspace]


def test_thirds_hold_a_third_of_the_events_each() -> None:
    popularity = np.array([1, 6, 2, 0, 3])
    # In order: item 1 (events 0–5), item 4 (6–8), item 2 (9–10), item 0 (11), item 3 (none).
    assert popularity_thirds(popularity).tolist() == [2, 0, 2, 2, 1]


def test_every_case_is_in_one_slice_of_each_kind(make_log: MakeLog) -> None:
    log = {
        "u1": ["a", "b", "c", "d"],
        "u2": ["a", "b", "a", "b"],
        "u3": ["c", "a", "b", "a", "c", "b", "x", "z"],
    }
    workspace = make_log(log)
    sequences = load_sequences(workspace.events, workspace.items)
    cases = build_cases(sequences, "test", 3)
    popularity = np.bincount(sequences.training().items, minlength=sequences.n_items)
    found = slices(cases, WalkCounts.of(sequences).directed, popularity)
    assert found["history_1_to_5"].tolist() == [True, True, False]
    assert found["history_6_to_10"].tolist() == [False, False, True]
    # d and z never occur in training; u2's step a → b does.
    assert found["cold"].tolist() == [True, False, True]
    assert found["memorised"].tolist() == [False, True, False]
    assert found["generalised"].tolist() == [True, False, True]
    assert sum(found[name].astype(int) for name in ("head", "middle", "tail", "cold")).tolist() == [1, 1, 1]
