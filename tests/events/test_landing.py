"""Many files that land over time: one log, whatever their names, their order and what is broken beside them."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s2gr.console import log
from s2gr.errors import UserError
from s2gr.events import stage as events_stage
from s2gr.events.ledger import ingested
from s2gr.params import Params
from s2gr.sources import Landing, files
from s2gr.sources.folder import digest, identity
from s2gr.stage import execute
from s2gr.workspace import Workspace, read_json, read_table

T = 1_400_000_000
Row = tuple[str, str, int]


class Folder:
    """A landing folder and the stage on it."""

    def __init__(self, root: Path) -> None:
        self.root, self.landing = root, root / "landing"
        self.landing.mkdir(parents=True)
        self.workspace = Workspace(root / "work")

    def write(
        self, name: str, rows: list[Row] | list[tuple[Any, ...]], header: str = "user_id,item_id,timestamp"
    ) -> Path:
        path = self.landing / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
        return path

    def items(self, name: str, rows: list[tuple[Any, ...]], header: str = "item_id,title,text") -> Path:
        return self.write(name, rows, header)

    def run(self, source: dict[str, Any] | None = None, **section: Any) -> dict[str, Any]:
        params = Params.model_validate(
            {
                "runtime": {"threads": 2},
                "source": {"kind": "files", "path": self.landing, **(source or {})},
                "events": {"k_core": 1, **section},
            }
        )
        return dict(execute("events", params, self.workspace))

    def log(self) -> list[Row]:
        rows = read_table(self.workspace.events).to_pylist()
        return [(row["user_id"], row["item_id"], round(row["timestamp"].timestamp()) - T) for row in rows]

    def bytes(self) -> tuple[bytes, bytes]:
        return self.workspace.events.read_bytes(), self.workspace.items.read_bytes()

    def batches(self) -> dict[str, dict[str, Any]]:
        return {row["file"]: row for row in read_table(self.workspace.batches).to_pylist()}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def folders(tmp_path: Path) -> Callable[[], Folder]:
    count = iter(range(10**9))
    return lambda: Folder(tmp_path / f"folder-{next(count)}")


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(log, "warning", lambda text, *values: told.append(text % values))
    return told


def made_up(users: int, events: int, seed: int) -> list[Row]:
    """In the order of time, with many ties."""
    generator = random.Random(seed)
    rows = {
        (f"u{generator.randrange(users)}", f"i{generator.randrange(40)}", T + generator.randrange(events // 4))
        for _ in range(events)
    }
    return sorted(rows, key=lambda row: (row[2], generator.random()))


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


def broken_files() -> dict[str, Callable[[Path], None]]:
    good = "user_id,item_id,timestamp\n" + "".join(f"u,i,{T + second}\n" for second in range(50))

    def parquet(change: Callable[[bytearray], bytes | bytearray]) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            import pyarrow as pa
            import pyarrow.parquet as pq

            columns = {"user_id": ["u", "v"] * 500, "item_id": ["i", "j"] * 500, "timestamp": list(range(T, T + 1000))}
            pq.write_table(pa.table(columns), path, compression="zstd")
            path.write_bytes(change(bytearray(path.read_bytes())))

        return write

    def flip(data: bytearray) -> bytearray:
        for position in range(50, 400):
            data[position] ^= 0xFF
        return data

    return {
        "truncated.csv": lambda path: path.write_text(good[:-12]) and None,
        "truncated.parquet": parquet(lambda data: data[: len(data) // 2]),
        "truncated.csv.gz": lambda path: path.write_bytes(gzip.compress(good.encode() * 99)[:-30]) and None,
        "truncated.jsonl": lambda path: (
            path.write_text('{"user_id": "u", "item_id": "i", "timestamp": 1}\n{"us') and None
        ),
        "flipped.parquet": parquet(flip),
        "flipped.jsonl": lambda path: (
            path.write_text('{"user_id": "u", "item_id": "i", "timestamp": 1}\n{"user_id"; 2}\n') and None
        ),
        "empty.csv": lambda path: path.write_text("") and None,
        "header.csv": lambda path: path.write_text("user_id,item_id,timestamp\n") and None,
        "schema.csv": lambda path: path.write_text("uid,iid,ts\n1,2,3\n") and None,
        "latin.csv": lambda path: path.write_bytes(good.replace("u,i", "ü,é").encode("latin-1")) and None,
        "utf16.csv": lambda path: path.write_bytes(good.encode("utf-16")) and None,
        "rows.csv": lambda path: path.write_text(good.replace("u,i", "u,")) and None,
        "line.csv": lambda path: path.write_text(good + "u" * (3 << 20)) and None,
        "line.jsonl": lambda path: path.write_text('{"user_id": "' + "u" * (17 << 20)) and None,
        "zip.csv": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 50) and None,
    }


@pytest.mark.parametrize("name", broken_files())
def test_one_broken_file_among_ten_is_refused_and_the_log_is_that_without_it(
    name: str, folders: Callable[[], Folder], warnings: list[str]
) -> None:
    rows = made_up(6, 300, seed=5)
    without, with_it = folders(), folders()
    for folder in (without, with_it):
        for number in range(9):
            folder.write(f"{number}.csv", rows[number::9])
    broken_files()[name](with_it.landing / name)
    expected = without.run()
    metrics = with_it.run()
    assert with_it.bytes() == without.bytes()
    assert metrics["batches"] == {"admitted": 9, "refused": 1, "copies": 0}
    (told,) = metrics["refused"]
    assert told["file"] == name
    assert told["reason"].startswith(name)
    assert "\n" not in told["reason"]
    assert str(with_it.root) not in told["reason"]
    assert [line for line in warnings if line == f"refused: {told['reason']}"]
    assert warnings[-1].startswith(f"the log has {expected['events']} events, and none of 1 refused files ({name})")
    entry = with_it.batches()[name]
    assert (entry["status"], entry["reason"]) == ("refused", told["reason"])
    assert entry["failed_checks"][0].startswith("batch_")
    same = {key for key in expected if key not in ("batches", "refused")}
    assert {key: metrics[key] for key in same} == {key: expected[key] for key in same}


@pytest.mark.parametrize("damage", ["cut in the last value", "one bit of an id"])
def test_damage_that_no_format_shows_is_noticed_by_the_digest_beside_the_file(
    damage: str, folder: Folder, warnings: list[str]
) -> None:
    folder.write("good.csv", [("v", "i", T)])
    path = folder.write("log.csv", [("u", "i", T + number) for number in range(20)])
    content = path.read_bytes()
    (folder.landing / "log.csv.sha256").write_text(f"{hashlib.sha256(content).hexdigest()}  log.csv\n")
    assert folder.run()["events"] == 21
    path.write_bytes(content[:-4] if damage.startswith("cut") else content.replace(b"u,i", b"q,i"))
    metrics = folder.run()
    assert metrics["events"] == 1
    assert "log.csv: log.csv.sha256 tells SHA-256" in metrics["refused"][0]["reason"]
    # Without it, only a last line that does not end can be told.
    (folder.landing / "log.csv.sha256").unlink()
    assert folder.run()["events"] == 21
    assert ("batch_last_line_ended" in folder.batches()["log.csv"]["failed_checks"]) == damage.startswith("cut")


def test_the_bad_rows_of_a_refused_file_are_shown(folder: Folder) -> None:
    folder.write("good.csv", [("u", "i", T)])
    folder.write("bad.csv", [("", "i", T + number) for number in range(2_000)])
    metrics = folder.run()
    assert metrics["refused"][0]["reason"] == (
        "bad.csv: 2000 of 2000 rows rejected (2000 missing_user), more than events.max_rejected = 0.1 of them; "
        f'the first is row 1 (missing_user): {{"user_id":null,"item_id":"i","timestamp":"{T}"}}'
    )
    # The first thousand: the file itself is the evidence.
    assert read_table(folder.workspace.quarantine)["row"].to_pylist() == list(range(1, 1001))
    # Of the admitted files nothing is rejected.
    assert metrics["rejected"] == {"total": 0}
    assert metrics["landed"] == 1


@pytest.mark.parametrize(("date", "read_as"), [("20240115", "1970-08-23"), ("20240115123000", "2611-05-21")])
def test_a_file_whose_times_are_misread_is_refused(date: str, read_as: str, folder: Folder) -> None:
    folder.write("good.csv", [("u", "i", T)])
    folder.write("dates.csv", [("v", "i", date), *(("u", f"i{number}", date) for number in range(20))])
    (refused,) = folder.run()["refused"]
    assert refused["reason"] == (
        f"dates.csv: 21 of 21 times lie before 1990 or after 2099, more than events.max_rejected = 0.1 of them; the "
        f'first is row 1, read as {read_as}: {{"user_id":"v","item_id":"i","timestamp":"{date}"}}; '
        "check source.timestamp_unit, and write dates in column 'timestamp' like 2024-01-15"
    )
    assert len(folder.log()) == 1
    assert len(read_table(folder.workspace.quarantine)) == 0
    assert "batch_times_plausible" in folder.batches()["dates.csv"]["failed_checks"]


def test_a_refusal_for_times_names_their_column_and_the_unit(folder: Folder) -> None:
    folder.write("good.csv", [("u", "i", T)])
    folder.write("times.csv", [("u", "i", "soon")])
    (refused,) = folder.run()["refused"]
    assert refused["reason"].endswith("; check column 'timestamp' and source.timestamp_unit")


def test_a_file_admitted_with_a_warning_says_so(folder: Folder, warnings: list[str]) -> None:
    folder.write("log.csv", [("", "i", T), *(("u", "i", T + number) for number in range(1, 50)), ("u", "i", 5)])
    folder.run()
    assert folder.batches()["log.csv"]["failed_checks"] == ["batch_few_rejected", "batch_no_ancient_events"]
    assert "log.csv: admitted, but look at batch_few_rejected, batch_no_ancient_events" in warnings


def test_if_every_file_is_refused_the_old_log_stays(folder: Folder) -> None:
    path = folder.write("log.csv", [("u", "i", T)])
    folder.run()
    before = folder.bytes()
    path.write_text("user_id,item_id,timestamp\nu,i\n")
    folder.write("other.csv", [("", "", "")])
    with pytest.raises(UserError, match=r"further files of interactions that are refused: 1.*the log is as it was"):
        folder.run()
    assert folder.bytes() == before


def test_a_damaged_catalogue_does_not_make_a_log_without_one(folder: Folder) -> None:
    folder.write("log.csv", [("u", "i", T)])
    path = folder.items("items.csv", [("i", "I", "text")])
    folder.run()
    before = folder.bytes()
    path.write_text("item_id,title,text\ni,I,text\ni")
    with pytest.raises(
        UserError, match=r"items\.csv, line 3: .*no file of items is admitted, and the log is as it was"
    ):
        folder.run()
    assert folder.bytes() == before


def test_later_items_files_extend_the_catalogue_and_make_quarantined_events_sound(folder: Folder) -> None:
    folder.write("log.csv", [("u", "a", T), ("u", "new", T + 1)])
    folder.items("items-1.csv", [("a", "A", "first")])
    assert folder.run(max_rejected=0.5)["rejected"] == {"total": 1, "unknown_item": 1}
    folder.items("items-2.csv", [("new", "New", "second")])
    assert folder.run(max_rejected=0.5)["rejected"] == {"total": 0}
    assert read_table(folder.workspace.items)["title"].to_pylist() == ["A", "New"]
    assert [item for _, item, _ in folder.log()] == ["a", "new"]


def test_of_two_rows_of_one_item_the_newer_counts_whatever_the_files_are_called(
    folder: Folder, warnings: list[str]
) -> None:
    folder.write("log.csv", [("u", "a", T), ("u", "b", T + 1), ("u", "c", T + 2)])
    header = "item_id,title,text,updated"
    folder.items("x.csv", [("a", "A new", "t", "2024-02-01"), ("b", "B new", "t", "2024-02-01")], header)
    folder.items(
        "y.csv", [("a", "A", "t", "2024-01-01"), ("b", "B newest", "t", "2024-03-01"), ("b", "B", "t", 0)], header
    )
    folder.items("z.csv", [("a", "undated", "t"), ("b", "undated", "t"), ("c", "C", "t"), ("d", "D", "t")])
    metrics = folder.run()
    assert read_table(folder.workspace.items)["title"].to_pylist() == ["A new", "B newest", "C"]
    assert metrics["items_disagreeing"] == 0
    # A row that another one has outdated is no bad row.
    assert metrics["rejected"] == {"total": 0}
    assert not warnings


def test_an_updated_that_is_no_time_is_told(folder: Folder, warnings: list[str]) -> None:
    folder.write("log.csv", [("u", "a", T), ("u", "b", T + 1)])
    header = "item_id,title,text,updated"
    folder.items("old.csv", [("a", "A", "t", "2024-01-01"), ("b", "B", "t", "")], header)
    folder.items("new.csv", [("b", "B", "t", "2024-02-01"), ("a", "A new", "t", "01.02.2024")], header)
    folder.run()
    assert read_table(folder.workspace.items)["title"].to_pylist() == ["A", "B"]
    batches = folder.batches()
    assert (batches["old.csv"]["failed_checks"], batches["new.csv"]["failed_checks"]) == ([], ["batch_updated_read"])
    assert warnings[0].startswith(
        "new.csv: 1 of 2 values in column 'updated' are no times, the first is '01.02.2024': these rows count as older"
    )


def test_where_no_time_tells_the_larger_catalogue_counts_and_a_warning_says_so(
    folder: Folder, warnings: list[str]
) -> None:
    folder.write("log.csv", [("u", "a", T), ("u", "b", T + 1)])
    folder.items("2-old.csv", [("a", "A", "old")])
    folder.items("1-new.csv", [("a", "A", "new"), ("b", "B", "b")])
    metrics = folder.run()
    assert read_table(folder.workspace.items)["text"].to_pylist() == ["A. new", "B. b"]
    assert metrics["items_disagreeing"] == 1
    assert [line for line in warnings if "1 items are described differently" in line and "updated" in line]


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
