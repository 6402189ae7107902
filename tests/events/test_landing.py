"""Many files that land over time: one log, whatever their names and their order."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2gr.errors import UserError
from s2gr.events import stage as events_stage
from s2gr.events.ledger import ingested
from s2gr.sources import Landing, files
from s2gr.sources.folder import digest, identity
from s2gr.workspace import read_json, read_table

from .folder import Folder, T, made_up


def test_a_log_cut_into_files_is_the_log_of_one_file(folders: Callable[[], Folder]) -> None:
    rows = made_up(9, 400, seed=1)
    whole = folders()
    whole.write("all.csv", rows)
    whole.run()
    cut = folders()
    # Cut in the middle of ties, too: a file that ends in a second comes before the one that goes on from it.
    for number, start in enumerate(range(0, len(rows), 37)):
        cut.write(f"{number:02}.csv", rows[start : start + 37])
    cut.run()
    assert cut.bytes() == whole.bytes()


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(6)), st.integers(0, 3), st.sampled_from(["log", "shuffled"]))
def test_names_and_the_order_of_landing_decide_nothing(
    folders: Callable[[], Folder], order: list[int], seed: int, ties: str
) -> None:
    rows = made_up(5, 120, seed)
    random.Random(seed).shuffle(rows)
    parts = [rows[number::6] for number in range(6)]
    one, other = folders(), folders()
    for number, part in enumerate(parts):
        one.write(f"{number}.csv", part)
    one.run(ties=ties)
    for place, number in enumerate(order):
        # One by one, under other names, with a run after each.
        other.write(f"later/{place}.csv", parts[number])
        if place >= 4:
            other.run(ties=ties)
    assert other.bytes() == one.bytes()


def test_a_file_seen_twice_or_renamed_changes_nothing(folder: Folder) -> None:
    first = folder.write("a.csv", [("u", "a", T), ("u", "b", T + 1)])
    folder.write("b.csv", [("v", "a", T)])
    folder.run()
    before = folder.bytes()
    shutil.copy(first, folder.landing / "again.csv")
    first.rename(folder.landing / "z.csv")
    metrics = folder.run()
    assert folder.bytes() == before
    assert metrics["batches"] == {"admitted": 2, "refused": 0, "copies": 1}
    assert folder.batches()["z.csv"]["status"] == "copy"
    assert folder.batches()["z.csv"]["reason"] == "the content of again.csv"
    assert folder.batches()["z.csv"]["batch"] == folder.batches()["again.csv"]["batch"]


def test_late_and_out_of_order_events_end_in_the_right_place(folder: Folder) -> None:
    folder.write("week-2.csv", [("u", "c", T + 30), ("u", "b", T + 20)])
    folder.run()
    # The clock of the sender went back: this file's events are older than all that landed before it.
    folder.write("week-3.csv", [("u", "a", T + 10), ("u", "d", T + 25)])
    folder.run()
    assert [item for _, item, _ in folder.log()] == ["a", "b", "d", "c"]
    assert read_table(folder.workspace.events)["split"].to_pylist() == ["train", "train", "validation", "test"]


def test_ties_across_files_go_by_first_time_then_last_time_then_content(folder: Folder) -> None:
    folder.write("a.csv", [("u", "late", T + 5), ("v", "x", T + 3)])
    folder.write("b.csv", [("u", "early", T + 5), ("v", "x", T + 2)])
    # Starts with b, ends after it.
    folder.write("c.csv", [("u", "longer", T + 5), ("v", "y", T + 2), ("v", "x", T + 9)])
    folder.run()
    assert [item for user, item, time in folder.log() if user == "u"] == ["early", "longer", "late"]


def test_what_an_earlier_file_has_brought_is_taken_once_and_counted(folder: Folder) -> None:
    rows = made_up(5, 80, seed=3)
    # A cumulative export: each file holds the one before.
    folder.write("monday.csv", rows[:50])
    folder.write("tuesday.csv", rows)
    metrics = folder.run()
    assert (metrics["events"], metrics["landed"], metrics["repeated"]) == (len(rows), len(rows) + 50, 50)
    assert folder.batches()["tuesday.csv"]["repeated"] == 50
    # Nothing is wrong with such a row: it is no reason to refuse a file, and not in quarantine.
    assert len(read_table(folder.workspace.quarantine)) == 0
    with_both = folder.bytes()
    (folder.landing / "monday.csv").unlink()
    folder.run()
    assert folder.bytes() == with_both


def test_every_landed_row_is_in_the_log_in_quarantine_or_counted(folder: Folder) -> None:
    folder.write("a.csv", [("u", "a", T), ("", "a", T), ("u", "a", T), ("v", "b", T)])
    folder.write("b.csv", [("u", "a", T), ("u", "b", T + 1), ("u", "", T)])
    metrics = folder.run(max_rejected=0.5)
    quarantine = read_table(folder.workspace.quarantine).to_pylist()
    assert [(row["file"], row["row"], row["reason"]) for row in quarantine] == [
        ("a.csv", 2, "missing_user"),
        ("a.csv", 3, "duplicate_event"),
        ("b.csv", 3, "missing_item"),
    ]
    assert metrics["landed"] == metrics["events"] + metrics["repeated"] + len(quarantine) == 7
    assert metrics["rejected"] == {"total": 3, "missing_user": 1, "duplicate_event": 1, "missing_item": 1}


def test_times_in_several_units_are_read_file_by_file(folder: Folder) -> None:
    folder.write("seconds.csv", [("u", "a", T)])
    folder.write("milliseconds.csv", [("u", "b", (T + 1) * 1000)])
    folder.write("text.csv", [("u", "c", "2014-05-13T16:53:22Z")])
    folder.run()
    assert folder.log() == [("u", "a", 0), ("u", "b", 1), ("u", "c", 2)]


def test_a_file_that_lands_while_others_are_read_is_taken_too(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write("a.csv", [("u", "a", T)])
    admit = events_stage.admit

    def late(*arguments: Any) -> Any:
        entries = admit(*arguments)
        if not (folder.landing / "b.csv").exists():
            folder.write("b.csv", [("u", "b", T + 1)])
        return entries

    monkeypatch.setattr(events_stage, "admit", late)
    folder.run()
    assert [item for _, item, _ in folder.log()] == ["a", "b"]


def test_a_digest_that_lands_while_files_are_read_counts_too(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder.write("a.csv", [("u", "a", T)])
    told = folder.landing / "a.csv.sha256"
    open_file = files.open_file

    def late(*arguments: Any) -> Any:
        if not told.exists():
            told.write_text(digest(path))
        return open_file(*arguments)

    monkeypatch.setattr(files, "open_file", late)
    folder.run()
    assert [item for _, item, _ in folder.log()] == ["a"]
    assert ingested(folder.workspace.batches) == identity([digest(path), digest(told)])


def test_a_file_that_never_stands_still_is_told(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder.write("a.csv", [("u", "a", T)])
    changed = Landing.changed

    def growing(landing: Landing) -> list[Path]:
        with path.open("a") as file:
            file.write(f"u,a,{T + path.stat().st_size}\n")
        return changed(landing)

    monkeypatch.setattr(Landing, "changed", growing)
    with pytest.raises(UserError, match=r"a\.csv changed again and again.*write a file elsewhere and rename it into"):
        folder.run()
    assert not folder.workspace.events.exists()


def test_the_report_of_a_run_is_the_same_every_time(folder: Folder) -> None:
    for number in range(3):
        folder.write(f"{number}.csv", made_up(4, 60, seed=number))
    folder.write("bad.csv", [("", "", "")])
    found = []
    for _ in range(2):
        folder.run()
        workspace = folder.workspace
        files = (workspace.events, workspace.items, workspace.quarantine, workspace.batches, workspace.report("events"))
        found.append([path.read_bytes() for path in files])
    assert found[0] == found[1]
    assert json.loads(found[0][4]) == read_json(folder.workspace.report("events"))


def test_a_time_of_change_in_the_future_does_no_harm(folder: Folder) -> None:
    import os
    import time

    path = folder.write("a.csv", [("u", "a", T)])
    os.utime(path, (time.time() + 10**7,) * 2)
    assert folder.run()["events"] == 1
