from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_checks import items
from s2gr.errors import UserError

Fault = Callable[[Any], None]


def _set(column: str, row: int, value: Any) -> Fault:
    return lambda artefacts: artefacts.items[column].__setitem__(row, value)


def _drop(column: str) -> Fault:
    return lambda artefacts: artefacts.items.pop(column)


def _retyped(column: str) -> Fault:
    """The column as floats, which none of them is."""

    def spoil(artefacts: Any) -> None:
        artefacts.types["items"] = {column: pa.float64()}
        artefacts.items[column] = [0.0] * len(artefacts.items[column])

    return spoil


def _empty(artefacts: Any) -> None:
    for values in artefacts.items.values():
        values.clear()


def _unmet(artefacts: Any) -> None:
    for column in artefacts.items.values():
        column.append("j")


def _listed_twice(artefacts: Any) -> None:
    for column in artefacts.items.values():
        column.append(column[-1])


def _swapped(artefacts: Any) -> None:
    for column in artefacts.items.values():
        column[0], column[1] = column[1], column[0]


def _texts(text: str) -> Fault:
    return lambda artefacts: artefacts.items["text"].__setitem__(slice(0, 20), [text] * 20)


def _disagreeing(artefacts: Any) -> None:
    artefacts.disagreeing = 3


FAULTS: dict[str, list[Fault]] = {
    **{f"items_{name}_type": [_drop(name), _retyped(name)] for name in ("item_id", "title", "text")},
    "items_not_empty": [_empty],
    **{f"items_{name}_present": [_set(name, 5, None)] for name in ("item_id", "title", "text")},
    "items_unique": [_listed_twice],
    "items_sorted": [_swapped],
    "items_have_events": [_unmet],
    "items_described": [_texts(" ")],
    "items_told_apart": [_texts("Untitled product")],
    "items_agree": [_disagreeing],
}


def test_conforming_catalogue_passes_every_check(artefacts: Any, tmp_path: Path) -> None:
    results = items.check(artefacts.write(tmp_path))
    assert [result.name for result in results] == [entry.name for entry in items.CHECKS]
    assert [result.name for result in results if not result.passed] == []


def test_every_expectation_has_a_planted_fault() -> None:
    assert set(FAULTS) == {entry.name for entry in items.CHECKS}


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults])
def test_planted_fault_fails_its_check(name: str, fault: Fault, artefacts: Any, tmp_path: Path) -> None:
    fault(artefacts)
    results = {result.name: result for result in items.check(artefacts.write(tmp_path))}
    assert list(results) == [entry.name for entry in items.CHECKS]
    assert not results[name].passed
    assert str(results[name].metadata["observed"])


def test_offending_items_are_named(artefacts: Any, tmp_path: Path) -> None:
    _unmet(artefacts)
    results = {result.name: result for result in items.check(artefacts.write(tmp_path))}
    assert results["items_have_events"].metadata["examples"] == ["j"]


def test_missing_catalogue_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"items\.parquet is missing"):
        items.check(tmp_path)
