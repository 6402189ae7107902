from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_checks import recommendations
from s2gr.errors import UserError

Fault = Callable[[Any], None]


def _set(column: str, row: int, value: Any) -> Fault:
    return lambda artefacts: artefacts.recommendations[column].__setitem__(row, value)


def _retyped(column: str) -> Fault:
    def spoil(artefacts: Any) -> None:
        artefacts.types["recommendations"] = {column: pa.float64()}
        artefacts.recommendations[column] = [1.0] * len(artefacts.recommendations[column])

    return spoil


def _drop(start: int, end: int | None) -> Fault:
    def spoil(artefacts: Any) -> None:
        for column in artefacts.recommendations.values():
            del column[start:end]

    return spoil


def _swapped_users(artefacts: Any) -> None:
    for column in artefacts.recommendations.values():
        column[:20] = column[10:20] + column[:10]


def _same_item(artefacts: Any) -> None:
    items = artefacts.recommendations["item_id"]
    items[1] = items[0]


def _met(artefacts: Any) -> None:
    artefacts.recommendations["item_id"][3] = artefacts.events["item_id"][0]


def _stranger(artefacts: Any) -> None:
    artefacts.recommendations["user_id"][-10:] = ["zoe"] * 10


def _collapsed(artefacts: Any) -> None:
    artefacts.recommendations["item_id"][::10] = ["i063"] * 40


FAULTS: dict[str, list[Fault]] = {
    **{
        f"recommendations_{column}_type": [_retyped(column), lambda artefacts: artefacts.recommendations.pop("rank")]
        if column == "rank"
        else [_retyped(column)]
        for column in ("user_id", "rank", "item_id", "score")
    },
    "recommendations_not_empty": [_drop(0, None)],
    "recommendations_sorted": [_swapped_users],
    "ranks_gapless": [_set("rank", 4, 6), _set("rank", 0, 0), _drop(0, 1)],
    "recommended_once": [_same_item],
    "recommended_items_known": [_set("item_id", 3, "zebra")],
    "recommended_unseen": [_met],
    "recommended_to_known_users": [_stranger],
    "users_served": [_drop(10, 20)],
    "scores_finite": [_set("score", 3, float("nan")), _set("score", 3, None)],
    "scores_fall": [_set("score", 3, 9.0)],
    "lists_full": [_drop(9, 10)],
    "lists_differ": [_collapsed],
}


def test_conforming_recommendations_pass_every_check(artefacts: Any, tmp_path: Path) -> None:
    results = recommendations.check(artefacts.write(tmp_path))
    assert [result.name for result in results] == [entry.name for entry in recommendations.CHECKS]
    assert [result.name for result in results if not result.passed] == []


def test_every_expectation_has_a_planted_fault() -> None:
    assert set(FAULTS) == {entry.name for entry in recommendations.CHECKS}


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults])
def test_planted_fault_fails_its_check(name: str, fault: Fault, artefacts: Any, tmp_path: Path) -> None:
    fault(artefacts)
    results = {result.name: result for result in recommendations.check(artefacts.write(tmp_path))}
    assert not results[name].passed


def test_items_that_were_met_are_held_against_it_only_where_that_is_promised(artefacts: Any, tmp_path: Path) -> None:
    _met(artefacts)
    artefacts.write(tmp_path)
    (tmp_path / "params.yaml").write_text("recommendations: {exclude_seen: false}\n")
    results = {result.name: result for result in recommendations.check(tmp_path)}
    assert results["recommended_unseen"].passed


def test_a_user_who_has_met_everything_may_be_left_out(artefacts: Any, tmp_path: Path) -> None:
    user = artefacts.recommendations["user_id"][0]
    items = artefacts.items["item_id"]
    count = len(items)
    for column, values in {
        "user_id": [user] * count,
        "item_id": items,
        "timestamp": [artefacts.events["timestamp"][0]] * count,
        "position": list(range(12, 12 + count)),
        "split": ["train"] * count,
    }.items():
        artefacts.events[column].extend(values)
    _drop(0, 10)(artefacts)
    results = {result.name: result for result in recommendations.check(artefacts.write(tmp_path))}
    assert results["users_served"].passed


def test_missing_recommendations_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recommendations\.parquet is missing"):
        recommendations.check(tmp_path)
