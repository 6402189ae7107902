"""Outputs appear whole or not at all, and running out of disk or memory is said in one line."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import torch

from s2gr import stage
from s2gr.database import database
from s2gr.errors import UserError, explained
from s2gr.params import Runtime
from s2gr.stopwatch import Effort
from s2gr.workspace import Workspace, read_json, read_table, write_json, write_table


def test_outputs_move_into_place_when_the_stage_ends(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.publishing("sids") as outputs:
        write_table(pa.table({"item_id": ["a"]}), outputs.sids)
        (outputs.codebook).mkdir(parents=True)
        (outputs.codebook / "config.json").write_text("{}")
        assert not workspace.sids.exists()
    assert workspace.sids.exists()
    assert (workspace.codebook / "config.json").exists()
    assert not any((workspace.state / "staging").iterdir())


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.codebook.mkdir(parents=True)
    (workspace.codebook / "stale").write_text("")
    with workspace.publishing("codebook") as outputs:
        outputs.codebook.mkdir(parents=True)
        (outputs.codebook / "fresh").write_text("")
    assert [path.name for path in workspace.codebook.iterdir()] == ["fresh"]


def test_a_stage_killed_between_two_renames_loses_neither_the_old_folder_nor_the_way_to_a_new_one(
    tmp_path: Path,
) -> None:
    workspace = Workspace(tmp_path)
    workspace.codebook.mkdir(parents=True)
    (workspace.codebook / "old").write_text("")
    script = f"""
        import os, signal, sys
        from pathlib import Path
        from s2gr.workspace import Workspace
        renamed = []

        def die(event, arguments):
            if event == "os.rename":
                renamed.append(arguments)
                if len(renamed) == 2:
                    os.kill(os.getpid(), signal.SIGKILL)

        with Workspace(Path({str(tmp_path)!r})).publishing("codebook") as outputs:
            outputs.codebook.mkdir(parents=True)
            (outputs.codebook / "new").write_text("")
            sys.addaudithook(die)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not workspace.codebook.exists()

    def next_run(ends: bool) -> None:
        with workspace.publishing("codebook") as outputs:
            assert [path.name for path in workspace.codebook.iterdir()] == ["old"]
            outputs.codebook.mkdir(parents=True)
            (outputs.codebook / "new").write_text("")
            if not ends:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        next_run(ends=False)
    assert [path.name for path in workspace.codebook.iterdir()] == ["old"]
    next_run(ends=True)
    assert [path.name for path in workspace.codebook.iterdir()] == ["new"]
    assert not [path for path in workspace.state.rglob("*") if path.name in ("old", "new")]


def test_a_failing_stage_leaves_the_old_outputs(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_json({"old": True}, workspace.report("sids"))

    def failing_stage() -> None:
        with workspace.publishing("sids") as outputs:
            write_json({"old": False}, outputs.report("sids"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing_stage()
    assert "true" in workspace.report("sids").read_text()


def test_a_killed_stage_leaves_the_old_outputs_and_the_next_one_sweeps(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_json({"old": True}, workspace.report("sids"))
    script = f"""
        import time
        from pathlib import Path
        from s2gr.workspace import Workspace, write_json
        with Workspace(Path({str(tmp_path)!r})).publishing("sids") as outputs:
            write_json({{"old": False}}, outputs.report("sids"))
            print("written", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert "true" in workspace.report("sids").read_text()
    assert any((workspace.state / "staging").iterdir())
    with workspace.publishing("sids"):
        time.sleep(0)
    assert not any((workspace.state / "staging").iterdir())


def test_missing_damaged_and_incomplete_artefacts_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(UserError, match="is missing: run the stage that makes it first"):
        read_table(path)
    path.write_bytes(b"PAR1 half a file")
    with pytest.raises(UserError, match="is not a readable Parquet file"):
        read_table(path)
    write_table(pa.table({"a": [1]}), path)
    with pytest.raises(UserError, match="expected column b, found a"):
        read_table(path, ["b"])


def test_a_full_disk_is_explained() -> None:
    with pytest.raises(UserError, match="the disk is full"), explained():
        raise OSError(errno.ENOSPC, "No space left on device", "x")


def test_too_little_memory_is_explained_whichever_library_says_so() -> None:
    connection = duckdb.connect(config={"memory_limit": "10MB", "temp_directory": "", "threads": 1})
    with pytest.raises(UserError, match="not enough memory"), explained():
        connection.execute("SELECT array_agg(i ORDER BY random()) FROM range(10000000) t(i)")
    with pytest.raises(UserError, match="not enough memory"), explained():
        torch.empty(2**50)
    with pytest.raises(UserError, match="not enough memory"), explained():
        raise MemoryError


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError), explained():
        raise KeyError("x")


def test_what_a_killed_process_spilled_is_removed_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    dead, living = tmp_path / f"duckdb-{process.pid}-x", tmp_path / f"duckdb-{os.getppid()}-x"
    for folder in (dead, living):
        folder.mkdir()
        (folder / "spilled").write_text("")
    with database(Runtime(), tmp_path):
        assert not dead.exists()
        assert living.exists()
        assert len(list(tmp_path.glob(f"duckdb-{os.getpid()}-*"))) == 1
    assert not list(tmp_path.glob(f"duckdb-{os.getpid()}-*"))


@pytest.mark.parametrize(("platform", "peak_mb"), [("linux", 2048), ("darwin", 2)])
def test_peak_memory_is_in_megabytes_on_every_system(
    platform: str, peak_mb: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("resource.getrusage", lambda _: types.SimpleNamespace(ru_maxrss=2 * 1024**2))
    stage._record_timing(Workspace(tmp_path), "sids", Effort(1.0, 1.0))
    assert read_json(tmp_path / ".s2gr/timings.json")["sids"]["peak_mb"] == peak_mb


@pytest.mark.parametrize("damaged", ["", "{", "[]", "null"])
def test_damaged_timings_are_made_anew(damaged: str, tmp_path: Path) -> None:
    path = tmp_path / ".s2gr/timings.json"
    path.parent.mkdir()
    path.write_text(damaged)
    stage._record_timing(Workspace(tmp_path), "sids", Effort(1.0, 1.0))
    assert list(read_json(path)) == ["sids"]


def test_stages_that_end_at_once_are_all_on_record(tmp_path: Path) -> None:
    names = [f"stage{number}" for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: stage._record_timing(Workspace(tmp_path), name, Effort(1.0, 1.0)), names))
    assert sorted(stage.read_timings(Workspace(tmp_path))) == sorted(names)
