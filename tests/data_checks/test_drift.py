from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_checks import drift
from s2gr.errors import UserError
from s2gr.params import Params, load_params

NAMES = [entry.name for entry in drift.CHECKS]


def _params(**section: Any) -> Params:
    return Params.model_validate({"drift": section})


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No report: for tests that repeat the measurement."""
    monkeypatch.setattr("data_checks.report.write", lambda folder, windows, totals, signals: {})


@pytest.fixture
def log(make: Callable[..., Any]) -> Any:
    return make(users=200, length=20)


def _move(artefacts: Any, share: float) -> None:
    """``share`` of the events of the last two positions (the newest tenth) move to the items of the first code 0."""
    generator = np.random.default_rng(5)
    inside = [
        item for item, code in zip(artefacts.items["item_id"], artefacts.sids["code_1"], strict=True) if code == 0
    ]
    for row, position in enumerate(artefacts.events["position"]):
        if position >= 18 and generator.random() < share:
            artefacts.events["item_id"][row] = inside[row % len(inside)]


def _by_name(results: list[Any]) -> dict[str, Any]:
    assert [result.name for result in results] == NAMES
    return {result.name: result for result in results}


@pytest.mark.usefixtures("silent")
def test_undrifted_log_passes(log: Any, tmp_path: Path) -> None:
    assert all(result.passed for result in drift.check(log.write(tmp_path)))


@pytest.mark.usefixtures("silent")
def test_a_third_of_the_mass_moving_between_codes_is_caught(log: Any, tmp_path: Path) -> None:
    _move(log, 1 / 3)
    found = _by_name(drift.check(log.write(tmp_path)))
    assert not found["sid_codes_drift"].passed
    assert not found["sid_prefix_drift"].passed
    assert found["sid_codes_drift"].severity == "warning"
    assert found["sid_codes_drift"].metadata["verdict"] == "alarm"
    assert found["sid_codes_drift"].metadata["code_1_psi_moved"][0].startswith("0: ")


@pytest.mark.usefixtures("silent")
def test_a_significant_but_small_shift_is_below_the_floor(make: Callable[..., Any], tmp_path: Path) -> None:
    log = make(users=1000, length=20)
    _move(log, 0.1)
    root = log.write(tmp_path)
    found = _by_name(drift.check(root))["sid_codes_drift"]
    assert found.passed
    assert found.metadata["verdict"] == "moved"
    assert found.metadata["code_1_psi"] > found.metadata["code_1_psi_chance_limit"]
    assert not _by_name(drift.check(root, _params(floor=0.0)))["sid_codes_drift"].passed


@pytest.mark.usefixtures("silent")
def test_false_alarms_without_a_floor_stay_within_the_rate(make: Callable[..., Any], tmp_path: Path) -> None:
    alarms = 0
    for draw in range(50):
        root = make(users=60, length=20, seed=draw).write(tmp_path / str(draw))
        results = drift.check(root, _params(floor=0.0, false_alarm=0.02))
        alarms += any(not result.passed for result in results)
    # 50 draws at 2 %: more than 4 have a probability below 0.4 %.
    assert alarms <= 4


@pytest.mark.usefixtures("silent")
def test_windows_are_the_newest_events_and_the_training_events_before(log: Any, tmp_path: Path) -> None:
    metadata = drift.check(log.write(tmp_path))[0].metadata
    # 200 users, 20 events an hour apart: the newest tenth is positions 18 and 19, the validation and test events.
    assert (metadata["reference_events"], metadata["current_events"]) == (3600, 400)
    assert metadata["current_from"] == "2020-01-01T18:00:00+00:00"
    assert metadata["reference_to"] == "2020-01-01T17:03:19+00:00"


@pytest.mark.usefixtures("silent")
def test_held_out_events_are_never_the_reference(log: Any, tmp_path: Path) -> None:
    metadata = drift.check(log.write(tmp_path), _params(window=0.05))[0].metadata
    assert (metadata["reference_events"], metadata["current_events"]) == (3600, 200)


@pytest.mark.usefixtures("silent")
def test_events_that_share_the_oldest_time_stay_together(log: Any, tmp_path: Path) -> None:
    log.events["timestamp"] = [
        time - timedelta(minutes=time.minute, seconds=time.second) for time in log.events["timestamp"]
    ]
    metadata = drift.check(log.write(tmp_path), _params(window=0.08))[0].metadata
    assert metadata["current_events"] == 400


@pytest.mark.usefixtures("silent")
def test_one_instant_can_not_be_measured_and_nothing_is_held_against_it(log: Any, tmp_path: Path) -> None:
    log.events["timestamp"] = log.events["timestamp"][:1] * len(log.events["timestamp"])
    results = drift.check(log.write(tmp_path))
    assert all(result.passed for result in results)
    assert all("not measured" in result.metadata["observed"] for result in results)


@pytest.mark.usefixtures("silent")
def test_events_on_items_without_a_sid_are_beyond_those_of_the_reference(log: Any, tmp_path: Path) -> None:
    new = set(log.sids["item_id"][:8])
    for row, (item, position) in enumerate(zip(log.events["item_id"], log.events["position"], strict=True)):
        if item in new and position < 18:
            log.events["item_id"][row] = log.sids["item_id"][8 + row % 56]
    for values in log.sids.values():
        del values[:8]
    found = _by_name(drift.check(log.write(tmp_path)))["events_without_sid"]
    assert not found.passed
    assert found.metadata["observed"] == pytest.approx(1 / 8, abs=0.06)
    assert found.metadata["without_sid_chance"] == pytest.approx(0, abs=0.01)


@pytest.mark.usefixtures("silent")
def test_items_that_never_had_a_sid_are_no_drift(log: Any, tmp_path: Path) -> None:
    for values in log.sids.values():
        del values[:8]
    found = _by_name(drift.check(log.write(tmp_path)))["events_without_sid"]
    assert found.passed
    assert found.metadata["without_sid_chance"] == pytest.approx(1 / 8, abs=0.02)


@pytest.mark.usefixtures("silent")
def test_a_window_without_any_known_item_is_an_alarm(log: Any, tmp_path: Path) -> None:
    for row, position in enumerate(log.events["position"]):
        if position >= 18:
            log.events["item_id"][row] = "new"
    found = _by_name(drift.check(log.write(tmp_path)))
    assert not found["events_without_sid"].passed
    assert found["sid_codes_drift"].metadata["verdict"] == "not measured"


@pytest.mark.usefixtures("silent")
def test_rare_values_share_a_bin(log: Any, tmp_path: Path) -> None:
    # 64 prefixes and 400 newest events: about six each, so that some fall below five and some do not.
    metadata = drift.check(log.write(tmp_path))[1].metadata
    assert 2 <= metadata["prefix_psi_bins"] < 65


def test_duckdb_and_evidently_agree_on_all_of_the_data(log: Any, tmp_path: Path) -> None:
    _move(log, 0.9)
    found = _by_name(drift.check(log.write(tmp_path), _params(sample=1_000_000)))
    metadata = found["sid_codes_drift"].metadata | found["sid_prefix_drift"].metadata
    report = json.loads(Path(metadata["report_json"]).read_text())
    evidently = {metric["config"]["column"]: metric["value"] for metric in report["metrics"]}
    assert set(evidently) == {"code_1", "code_2", "code_3", "prefix"}
    assert evidently == pytest.approx({feature: metadata[f"{feature}_psi"] for feature in evidently}, rel=1e-9)
    assert metadata["sampled_current"] == metadata["current_events"]


def test_report_is_offline_reproducible_and_phones_nobody(
    log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda self, address: called.append(address))
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    root = log.write(tmp_path)
    first = drift.check(root, _params(sample=300))[0].metadata
    page = Path(first["report"]).read_text()
    data = json.loads(Path(first["report_json"]).read_text())
    again = drift.check(root, _params(sample=300))[0].metadata
    assert called == []
    assert os.environ["DO_NOT_TRACK"] == "1"
    assert first["report"] == root / "reports/drift/unpublished-20200101T190319/sid_drift.html"
    assert not re.search(r"""<(script|link|img|iframe)[^>]*(src|href)=["']?(https?:)?//""", page)
    assert "code_1" in page
    assert (first["sampled_reference"], first["sampled_current"]) == (300, 300)
    values = [metric["value"] for metric in data["metrics"]]
    assert values == [metric["value"] for metric in json.loads(Path(again["report_json"]).read_text())["metrics"]]
    assert first == again


def test_before_the_first_model_nothing_is_measured(log: Any, tmp_path: Path) -> None:
    (log.write(tmp_path) / "data/sids.parquet").unlink()
    results = drift.check(tmp_path)
    assert all(result.passed for result in results)
    assert "nothing is published yet" in results[0].metadata["observed"]


def test_a_missing_log_is_one_line(log: Any, tmp_path: Path) -> None:
    (log.write(tmp_path) / "data/events.parquet").unlink()
    with pytest.raises(UserError, match=r"events\.parquet is missing"):
        drift.check(tmp_path)


def test_params_section_refuses_values_out_of_range(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("drift: {window: 1.0}\n")
    with pytest.raises(UserError, match=r"drift\.window"):
        load_params([tmp_path / "params.yaml"])


@pytest.mark.usefixtures("silent")
def test_a_move_that_the_newest_training_events_have_made_already_is_settled(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    log, generator = make(users=400, length=20), np.random.default_rng(3)
    first = [i for i, code in zip(log.items["item_id"], log.sids["code_1"], strict=True) if code == 0]
    for row, position in enumerate(log.events["position"]):
        if position >= 16 and row // 20 % 2:
            log.events["item_id"][row] = first[generator.integers(len(first))]
    # The newest tenth is positions 18 and 19; as many training events before it are positions 16 and 17.
    found = _by_name(drift.check(log.write(tmp_path)))["sid_codes_drift"]
    assert found.passed
    assert found.metadata["code_1_psi_verdict"] == "settled"
    assert found.metadata["code_1_psi"] > found.metadata["code_1_psi_threshold"]
