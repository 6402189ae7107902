from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_checks import cooccurrence

Fault = Callable[[Any], None]


def _set(column: str, row: int, value: Any) -> Fault:
    return lambda artefacts: artefacts.cooccurrence[column].__setitem__(row, value)


def _retyped(column: str) -> Fault:
    def spoil(artefacts: Any) -> None:
        artefacts.types["cooccurrence"] = {column: pa.float64()}
        artefacts.cooccurrence[column] = [1.0] * len(artefacts.cooccurrence[column])

    return spoil


def _twice(artefacts: Any) -> None:
    for column in artefacts.cooccurrence.values():
        column.insert(0, column[0])


def _turned(artefacts: Any) -> None:
    pairs = artefacts.cooccurrence
    pairs["item_a"][0], pairs["item_b"][0] = pairs["item_b"][0], pairs["item_a"][0]


def _held_out(artefacts: Any) -> None:
    # Its events are no longer for training, its pairs still there.
    artefacts.events["split"] = [
        "test" if item == "i005" else split
        for item, split in zip(artefacts.events["item_id"], artefacts.events["split"], strict=True)
    ]


def _leaked(artefacts: Any) -> None:
    artefacts.cooccurrence["count"][0] += 40


def _lonely(artefacts: Any) -> None:
    for column in artefacts.cooccurrence.values():
        del column[4:]


def _vector(column: str, row: int, value: Any) -> Fault:
    return lambda artefacts: artefacts.aligned[column].__setitem__(row, value)


def _same(artefacts: Any) -> None:
    artefacts.aligned["embedding"][:20] = [artefacts.aligned["embedding"][0]] * 20


def _one_way(artefacts: Any) -> None:
    artefacts.aligned["embedding"] = [[1.0, 1e-3 * row, 0, 0, 0, 0] for row in range(64)]


FAULTS: dict[str, list[Fault]] = {
    **{f"pairs_{column}_type": [_retyped(column)] for column in ("item_a", "item_b", "count")},
    "pairs_known": [_set("item_b", 3, "zebra")],
    "pairs_ordered_and_unique": [_twice, _turned],
    "pairs_counted": [_set("count", 3, 0), _set("count", 3, None)],
    "pairs_met_in_training": [_held_out],
    "pairs_fit_the_training_part": [_leaked],
    "items_paired": [_lonely],
    "aligned_item_id_type": [lambda artefacts: artefacts.aligned.pop("item_id")],
    "aligned_embedding_type": [lambda artefacts: artefacts.aligned.pop("embedding")],
    "aligned_in_catalogue_order": [_vector("item_id", 0, "i009")],
    "aligned_finite": [_vector("embedding", 0, [float("nan")] * 6)],
    "aligned_unit_length": [_vector("embedding", 0, [0.5] * 6)],
    "aligned_told_apart": [_same],
    "aligned_spread": [_one_way],
}


def test_conforming_pairs_pass_every_check(artefacts: Any, tmp_path: Path) -> None:
    results = cooccurrence.check(artefacts.write(tmp_path))
    assert [result.name for result in results] == [entry.name for entry in cooccurrence.CHECKS]
    assert [result.name for result in results if not result.passed] == []


def test_every_expectation_has_a_planted_fault() -> None:
    assert set(FAULTS) == {entry.name for entry in cooccurrence.CHECKS}


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults])
def test_planted_fault_fails_its_check(name: str, fault: Fault, artefacts: Any, tmp_path: Path) -> None:
    fault(artefacts)
    results = {result.name: result for result in cooccurrence.check(artefacts.write(tmp_path))}
    assert not results[name].passed


def test_pairs_of_validation_and_test_events_are_found(artefacts: Any, tmp_path: Path) -> None:
    # What the counts would be if every event were for training.
    from collections import Counter

    events = artefacts.events
    counts: Counter[tuple[str, str]] = Counter()
    for place, (user, item) in enumerate(zip(events["user_id"], events["item_id"], strict=True)):
        for other in range(place + 1, min(place + 4, len(events["user_id"]))):
            if events["user_id"][other] == user and events["item_id"][other] != item:
                first, second = sorted((item, events["item_id"][other]))
                counts[first, second] += 1
    pairs = sorted(counts.items())
    artefacts.cooccurrence = {
        "item_a": [a for (a, _), _ in pairs],
        "item_b": [b for (_, b), _ in pairs],
        "count": [count for _, count in pairs],
    }
    results = {result.name: result for result in cooccurrence.check(artefacts.write(tmp_path))}
    assert [name for name, result in results.items() if not result.passed] == ["pairs_fit_the_training_part"]
