"""What is broken among the files that land: it is refused with its reason, and the log is that without it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from s2gr.errors import UserError
from s2gr.workspace import read_table

from .folder import Folder, T, made_up


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
