from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_checks import content, vectors
from s2gr.errors import UserError

Fault = Callable[[Any], None]


def _vector(row: int, value: list[float] | None) -> Fault:
    return lambda artefacts: artefacts.content["embedding"].__setitem__(row, value)


def _retyped(column: str, kind: pa.DataType, value: Any) -> Fault:
    def spoil(artefacts: Any) -> None:
        artefacts.types["content"] = {column: kind}
        artefacts.content[column] = [value] * len(artefacts.content[column])

    return spoil


def _swapped(artefacts: Any) -> None:
    ids = artefacts.content["item_id"]
    ids[0], ids[1] = ids[1], ids[0]


def _one_less(artefacts: Any) -> None:
    for column in artefacts.content.values():
        column.pop()


def _one_more(artefacts: Any) -> None:
    for column in artefacts.content.values():
        column.append(column[-1])


def _same(artefacts: Any) -> None:
    artefacts.content["embedding"][:20] = [artefacts.content["embedding"][0]] * 20


def _one_way(artefacts: Any) -> None:
    artefacts.content["embedding"] = [[1.0, 1e-3 * row, 0, 0, 0, 0] for row in range(len(artefacts.content["item_id"]))]


FAULTS: dict[str, list[Fault]] = {
    "content_item_id_type": [_retyped("item_id", pa.int64(), 1), lambda artefacts: artefacts.content.pop("item_id")],
    "content_embedding_type": [
        _retyped("embedding", pa.list_(pa.float32()), [1.0]),
        _retyped("embedding", pa.list_(pa.int32(), 6), [1] * 6),
        lambda artefacts: artefacts.content.pop("embedding"),
    ],
    "content_in_catalogue_order": [_swapped, _one_less, _one_more],
    "content_finite": [
        _vector(3, None),
        _vector(3, [float("nan"), 0, 0, 0, 0, 0]),
        _vector(3, [float("inf"), 0, 0, 0, 0, 0]),
    ],
    "content_unit_length": [_vector(3, [0.0] * 6), _vector(3, [1.1, 0, 0, 0, 0, 0])],
    "content_told_apart": [_same],
    "content_spread": [_one_way],
}


@pytest.mark.parametrize("rows", [50_000, 7])
def test_conforming_embeddings_pass_every_check_however_they_are_read(
    rows: int, artefacts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_ROWS", rows)
    results = content.check(artefacts.write(tmp_path))
    assert [result.name for result in results] == [entry.name for entry in content.CHECKS]
    assert [result.name for result in results if not result.passed] == []


def test_every_expectation_has_a_planted_fault() -> None:
    assert set(FAULTS) == {entry.name for entry in content.CHECKS}


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults])
def test_planted_fault_fails_its_check(
    name: str, fault: Fault, artefacts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_ROWS", 20)
    fault(artefacts)
    results = {result.name: result for result in content.check(artefacts.write(tmp_path))}
    assert not results[name].passed


def test_missing_embeddings_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"content\.parquet is missing"):
        content.check(tmp_path)
