from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from data_checks import events
from s2gr.errors import UserError

Fault = Callable[[Any], None]


def _set(file: str, column: str, row: int, value: Any) -> Fault:
    return lambda artefacts: getattr(artefacts, file)[column].__setitem__(row, value)


def _type(file: str, column: str, kind: pa.DataType) -> Fault:
    def spoil(artefacts: Any) -> None:
        artefacts.types[file] = {column: kind}

    return spoil


def _retyped(file: str, column: str) -> Fault:
    """The column as floats, which none of them is."""

    def spoil(artefacts: Any) -> None:
        artefacts.types[file] = {column: pa.float64()}
        getattr(artefacts, file)[column] = [0.0] * len(getattr(artefacts, file)[column])

    return spoil


def _drop(file: str, column: str) -> Fault:
    return lambda artefacts: getattr(artefacts, file).pop(column)


def _swap_rows(artefacts: Any) -> None:
    for values in artefacts.events.values():
        values[3], values[4] = values[4], values[3]


def _empty(artefacts: Any) -> None:
    for values in artefacts.events.values():
        values.clear()


def _short_history(artefacts: Any) -> None:
    for column, value in zip(
        ("user_id", "item_id", "timestamp", "position", "split"),
        ("v", "i001", datetime(2020, 1, 1, tzinfo=UTC), 0, "train"),
        strict=True,
    ):
        artefacts.events[column].append(value)


def _rare_item(artefacts: Any) -> None:
    for column in artefacts.items.values():
        column.append("j")
    artefacts.events["item_id"][0] = "j"


def _same_day(artefacts: Any) -> None:
    artefacts.events["timestamp"] = [datetime(2020, 1, 1, tzinfo=UTC)] * len(artefacts.events["timestamp"])


def _rejected(artefacts: Any) -> None:
    file, batch, role, status, reason, rows, _ = artefacts.batches[0]
    artefacts.batches[0] = (file, batch, role, status, reason, rows, 10)


def _refused(artefacts: Any) -> None:
    artefacts.batches.append(("late.csv", "02", "interactions", "refused", "late.csv has no rows", 0, 0))


def _mostly_refused(artefacts: Any) -> None:
    artefacts.batches.append(("base.csv", "02", "interactions", "refused", "base.csv is wrong", 481, 481))


def _one_hit(artefacts: Any) -> None:
    column = artefacts.events["item_id"]
    column[::2] = ["i000"] * len(column[::2])


FAULTS: dict[str, list[Fault]] = {
    **{f"events_{name}_type": [_drop("events", name), _retyped("events", name)] for name in ("user_id", "item_id")},
    "events_timestamp_type": [_drop("events", "timestamp"), _type("events", "timestamp", pa.timestamp("s", "UTC"))],
    "events_position_type": [_drop("events", "position"), _type("events", "position", pa.int64())],
    "events_split_type": [_drop("events", "split"), _retyped("events", "split")],
    **{
        f"events_{name}_present": [_set("events", name, 5, None)]
        for name in ("user_id", "item_id", "timestamp", "position", "split")
    },
    "events_split_known": [_set("events", "split", 5, "holdout")],
    "events_not_empty": [_empty],
    "positions_gapless": [_set("events", "position", 5, 4), _set("events", "position", 11, 12)],
    "time_follows_position": [_set("events", "timestamp", 5, datetime(2019, 12, 31, tzinfo=UTC))],
    "rows_sorted": [_swap_rows],
    "split_sound": [
        _set("events", "split", 11, "validation"),
        _set("events", "split", 11, "train"),
        _set("events", "split", 0, "test"),
    ],
    "events_items_known": [_set("events", "item_id", 5, "j")],
    "users_in_k_core": [_short_history],
    "items_in_k_core": [_rare_item],
    "no_future_events": [_set("events", "timestamp", 11, datetime.now(UTC) + timedelta(days=2))],
    "no_ancient_events": [_set("events", "timestamp", 0, datetime(1970, 1, 19, tzinfo=UTC))],
    "batches_admitted": [_refused],
    "most_landed_admitted": [_mostly_refused],
    "few_quarantined": [_rejected],
    "few_ties": [_same_day],
    "popularity_spread": [_one_hit],
}


def test_conforming_log_passes_every_check(artefacts: Any, tmp_path: Path) -> None:
    results = events.check(artefacts.write(tmp_path))
    assert [result.name for result in results] == [entry.name for entry in events.CHECKS]
    assert [result.name for result in results if not result.passed] == []


def test_every_expectation_has_a_planted_fault() -> None:
    assert {*FAULTS, "landed_files_read"} == {entry.name for entry in events.CHECKS}


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name, faults in FAULTS.items() for fault in faults])
def test_planted_fault_fails_its_check(name: str, fault: Fault, artefacts: Any, tmp_path: Path) -> None:
    fault(artefacts)
    results = {result.name: result for result in events.check(artefacts.write(tmp_path))}
    assert list(results) == [entry.name for entry in events.CHECKS]
    assert not results[name].passed
    assert str(results[name].metadata["observed"])


def test_failing_rows_are_shown(artefacts: Any, tmp_path: Path) -> None:
    artefacts.events["split"][5] = "holdout"
    results = {result.name: result for result in events.check(artefacts.write(tmp_path))}
    assert results["events_split_known"].metadata["examples"] == ["holdout"]
    assert results["events_split_known"].metadata["observed"] == 1


def test_a_refused_file_is_shown_with_its_reason(artefacts: Any, tmp_path: Path) -> None:
    _refused(artefacts)
    results = {result.name: result for result in events.check(artefacts.write(tmp_path))}
    assert results["batches_admitted"].metadata["examples"] == ["late.csv has no rows"]
    assert results["batches_admitted"].severity == "warning"


def test_half_of_what_landed_may_be_refused(artefacts: Any, tmp_path: Path) -> None:
    artefacts.batches += [
        ("half.csv", "02", "interactions", "refused", "half.csv is wrong", 480, 480),
        ("items.csv", "03", "items", "refused", "items.csv is wrong", 10_000, 10_000),
        ("other.csv", "04", None, "refused", "other.csv has other columns", 0, 0),
    ]
    results = {result.name: result for result in events.check(artefacts.write(tmp_path))}
    assert results["most_landed_admitted"].passed
    assert results["most_landed_admitted"].metadata["observed"] == 0.5


@pytest.mark.parametrize(("size", "passed"), [(900, True), (1_100, False)])
def test_an_unreadable_file_counts_by_its_size(size: int, passed: bool, artefacts: Any, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    for name, content in (("day.csv", "a" * 1_000), ("base.csv", "b" * size)):
        (landing / name).write_text(content)
    day, base = (hashlib.sha256((landing / name).read_bytes()).hexdigest() for name in ("day.csv", "base.csv"))
    artefacts.batches = [
        ("day.csv", day, "interactions", "admitted", None, 480, 0),
        ("base.csv", base, None, "refused", "base.csv is not a whole gzip file", None, None),
    ]
    (artefacts.write(tmp_path) / "params.yaml").write_text("source: {kind: files, path: landing}\n")
    results = {result.name: result for result in events.check(tmp_path)}
    assert results["most_landed_admitted"].passed is passed


def test_a_file_that_the_log_has_not_seen_is_shown(artefacts: Any, tmp_path: Path) -> None:
    landing = artefacts.write(tmp_path) / "landing"
    landing.mkdir()
    (landing / "seen.csv").write_text("seen")
    artefacts.batches[0] = ("renamed.csv", hashlib.sha256(b"seen").hexdigest(), *artefacts.batches[0][2:])
    artefacts.write(tmp_path)
    (tmp_path / "params.yaml").write_text("source: {kind: files, path: landing}\n")
    results = {result.name: result for result in events.check(tmp_path)}
    assert results["landed_files_read"].passed
    (landing / "new.csv").write_text("new")
    (landing / "half.csv.part").write_text("half")
    results = {result.name: result for result in events.check(tmp_path)}
    assert not results["landed_files_read"].passed
    assert results["landed_files_read"].metadata["examples"] == ["new.csv"]


def test_a_landing_folder_that_is_gone_is_not_taken_for_read(artefacts: Any, tmp_path: Path) -> None:
    artefacts.write(tmp_path)
    (tmp_path / "params.yaml").write_text("source: {kind: files, path: gone}\n")
    results = {result.name: result for result in events.check(tmp_path)}
    found = results["landed_files_read"]
    assert not found.passed
    assert found.metadata["observed"] == "not measured"
    assert found.metadata["examples"] == [f"{tmp_path / 'gone'} is not a folder"]


def test_k_core_comes_from_the_params_of_the_workspace(artefacts: Any, tmp_path: Path) -> None:
    artefacts.write(tmp_path)
    (tmp_path / "params.yaml").write_text("events: {k_core: 13}\n")
    results = {result.name: result for result in events.check(tmp_path)}
    assert not results["users_in_k_core"].passed
    assert results["users_in_k_core"].metadata["observed"] == 12


def test_missing_log_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"events\.parquet is missing"):
        events.check(tmp_path)


def test_damaged_log_is_one_line(artefacts: Any, tmp_path: Path) -> None:
    (artefacts.write(tmp_path) / "data/events.parquet").write_bytes(b"half a file")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        events.check(tmp_path)


@pytest.mark.parametrize(("landed", "passed"), [(10_000, True), (999, False)])
def test_the_rejected_share_is_of_the_admitted_rows_not_of_those_in_the_k_core(
    landed: int, passed: bool, artefacts: Any, tmp_path: Path
) -> None:
    # 480 events are left of `landed`: the k-core dropped the others, and they were sound. Of the items' rows and of a
    # refused file none counts.
    artefacts.batches = [
        ("log.parquet", "00", "interactions", "admitted", None, landed, 10),
        ("items.parquet", "01", "items", "admitted", None, 64, 30),
        ("bad.parquet", "02", "interactions", "refused", "no", 500, 500),
    ]
    results = {result.name: result for result in events.check(artefacts.write(tmp_path))}
    assert results["few_quarantined"].passed is passed
    assert results["few_quarantined"].metadata["observed"] == pytest.approx(10 / landed)
