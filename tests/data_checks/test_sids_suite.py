from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_checks import sids
from s2gr.errors import UserError

Fault = Callable[[Any], None]


def _set(column: str, row: int, value: Any) -> Fault:
    return lambda artefacts: artefacts.sids[column].__setitem__(row, value)


def _types(column: str, kind: pa.DataType) -> Fault:
    def spoil(artefacts: Any) -> None:
        artefacts.types["sids"] = {column: kind}
        if pa.types.is_string(kind):
            artefacts.sids[column] = [str(value) for value in artefacts.sids[column]]

    return spoil


def _config(**changed: int) -> Fault:
    return lambda artefacts: artefacts.config.update(changed)


def _append(item: str) -> Fault:
    def spoil(artefacts: Any) -> None:
        for column, value in zip(("item_id", "code_1", "code_2", "code_3"), (item, 0, 0, 7), strict=True):
            artefacts.sids[column].append(value)

    return spoil


def _clear(artefacts: Any) -> None:
    for values in artefacts.sids.values():
        values.clear()


def _pop(artefacts: Any) -> None:
    for values in artefacts.sids.values():
        values.pop()


def _reverse(artefacts: Any) -> None:
    for values in artefacts.sids.values():
        values.reverse()


def _same_sid(artefacts: Any) -> None:
    for level in (1, 2, 3):
        artefacts.sids[f"code_{level}"][1] = artefacts.sids[f"code_{level}"][0]


def _collapsed(artefacts: Any) -> None:
    """All items share the first code; the other two tell them apart."""
    artefacts.sids["code_1"] = [0] * len(artefacts.sids["code_1"])


def _crowded_code_book(artefacts: Any) -> None:
    _collapsed(artefacts)
    artefacts.sids["code_1"][:15] = range(1, 16)
    artefacts.config["codes"] = 16


def _hit_bucket(artefacts: Any) -> None:
    column = artefacts.events["item_id"]
    column[::2] = ["i000"] * len(column[::2])


FAULTS: dict[str, list[Fault]] = {
    "sids_columns": [lambda artefacts: artefacts.sids.pop("code_2"), _config(levels=4), _config(levels=2)],
    "sids_types": [
        _types("code_2", pa.int64()),
        _types("code_2", pa.string()),
        lambda artefacts: (
            artefacts.sids.update(item_id=list(range(64))) or artefacts.types.update(sids={"item_id": pa.int32()})
        ),
    ],
    "sids_item_present": [_set("item_id", 3, None)],
    "sids_not_empty": [_clear],
    "sids_unique": [_same_sid],
    "items_sid_once": [_append("i001")],
    "items_have_sid": [_pop],
    "sids_have_item": [_append("unknown")],
    "sids_in_catalogue_order": [_reverse],
    "codes_in_range": [_set("code_2", 3, 8), _set("code_2", 3, -1), _set("code_2", 3, None)],
    "codes_used": [_collapsed, _config(codes=64)],
    "items_spread": [_crowded_code_book],
    "events_spread": [_hit_bucket],
}


def test_conforming_sids_pass_every_check(artefacts: Any, tmp_path: Path) -> None:
    results = sids.check(artefacts.write(tmp_path))
    assert [result.name for result in results] == [entry.name for entry in sids.CHECKS]
    assert [result.name for result in results if not result.passed] == []


def test_every_expectation_has_a_planted_fault() -> None:
    assert set(FAULTS) == {entry.name for entry in sids.CHECKS}


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults])
def test_planted_fault_fails_its_check(name: str, fault: Fault, artefacts: Any, tmp_path: Path) -> None:
    fault(artefacts)
    results = {result.name: result for result in sids.check(artefacts.write(tmp_path))}
    assert list(results) == [entry.name for entry in sids.CHECKS]
    assert not results[name].passed


def test_collapsed_level_warns_and_breaks_nothing_critical(artefacts: Any, tmp_path: Path) -> None:
    _collapsed(artefacts)
    results = {result.name: result for result in sids.check(artefacts.write(tmp_path))}
    assert [name for name, result in results.items() if not result.passed] == ["codes_used", "events_spread"]
    assert results["codes_used"].metadata["observed"] == pytest.approx(1 / 8)


def test_missing_codebook_is_one_line(artefacts: Any, tmp_path: Path) -> None:
    (artefacts.write(tmp_path) / "models/codebook/config.json").unlink()
    with pytest.raises(UserError, match="run the stage `codebook` first"):
        sids.check(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{half a", "is damaged"),
        ("[]", "expected codes, levels"),
        ("7", "is damaged"),
        ("{}", "expected codes, levels"),
    ],
)
def test_damaged_codebook_is_one_line(content: str, message: str, artefacts: Any, tmp_path: Path) -> None:
    (artefacts.write(tmp_path) / "models/codebook/config.json").write_text(content)
    with pytest.raises(UserError, match=rf"config\.json.*{message}"):
        sids.check(tmp_path)
