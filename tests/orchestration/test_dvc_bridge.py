"""One stage run through DVC = one materialisation, and what happens when there is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from orchestration import dvc_process, dvc_project
from orchestration.dvc_bridge import reported_materialization
from orchestration.dvc_project import code_version
from orchestration.processes import started
from orchestration.rwlock import drop_stale
from s2gr.alerts import outbox
from s2gr.workspace import Workspace


def test_a_stage_runs_then_is_unchanged_then_is_forced_then_is_restored(toy: Any) -> None:
    def verdict(**options: bool) -> str:
        return str(toy.materialization(toy.materialise("first", **options), "first").metadata["dvc"].value)

    assert verdict() == "ran"
    assert verdict() == "unchanged"
    assert verdict(force=True) == "ran"
    (toy.root / "data/first.txt").unlink()
    assert verdict() == "restored from the run cache"
    assert (toy.root / "data/first.txt").read_text() == "a log\n"


def test_the_data_version_is_what_dvc_lock_says(toy: Any) -> None:
    result = toy.materialise("first", "second")
    assert result.success
    tags = toy.materialization(result, "second").tags
    (out,) = toy.project.recorded("second")["outs"]
    assert tags["dagster/data_version"] == out["md5"]
    assert tags["dagster/code_version"] == code_version(toy.project.current_ingredients("second"))
    first = toy.materialization(result, "first").tags
    assert first["dagster/data_version"] == toy.project.recorded_data_version("first")


def test_the_data_version_changes_with_any_of_several_outs(toy: Any) -> None:
    toy.materialise("first")
    before = toy.project.recorded_data_version("first")
    script = (toy.root / "s2gr/first/run.sh").read_text()
    toy.rewrite("s2gr/first/run.sh", script.replace("echo other", "echo another"))
    toy.materialise("first")
    assert toy.project.recorded_data_version("first") != before


def test_metrics_are_shown_one_by_one_and_as_a_whole(toy: Any) -> None:
    metadata = toy.materialization(toy.materialise("first"), "first").metadata
    assert metadata["rows"].value == 3
    assert metadata["ndcg.at 10"].value == 0.5
    assert metadata["metrics"].value == {"rows": 3, "ndcg": {"at 10": 0.5}}
    assert metadata["seconds"].value > 0


def test_a_failing_stage_fails_the_asset_with_its_own_line(toy: Any) -> None:
    toy.rewrite("s2gr/first/run.sh", "echo 'error: first: landing/log.txt, row 7: expected a number' >&2; exit 2\n")
    result = toy.materialise("first", "second")
    assert not result.success
    assert toy.failure(result, "first") == "first: landing/log.txt, row 7: expected a number"
    assert not result.asset_materializations_for_node("first")
    assert not result.asset_materializations_for_node("second")


def test_an_unexpected_exception_is_named_and_not_only_the_exit_code(toy: Any) -> None:
    toy.rewrite("s2gr/first/run.sh", f"{sys.executable} -c 'import json; json.loads(\"x\")'\n")
    assert "JSONDecodeError: Expecting value" in toy.failure(toy.materialise("first"), "first")


def test_what_dvc_itself_refuses_is_the_failure(toy: Any) -> None:
    toy.rewrite("params.yaml", (toy.root / "params.yaml").read_text().replace("path: landing", "path: nowhere"))
    assert "nowhere" in toy.failure(toy.materialise("first"), "first")


def test_a_source_edited_while_the_stage_runs_is_refused(toy: Any) -> None:
    script = (toy.root / "s2gr/first/run.sh").read_text()
    toy.rewrite("s2gr/first/run.sh", script + "echo '# edited' > s2gr/first/helper.py\n")
    result = toy.materialise("first")
    message = toy.failure(result, "first")
    assert message.startswith("first: s2gr/first changed while the stage ran")
    assert "force: true" in message
    # Launched again with force, as the message says, it is sound.
    assert toy.materialise("first", force=True).success


def test_a_parameter_edited_while_the_stage_runs_is_refused(toy: Any) -> None:
    script = (toy.root / "s2gr/first/run.sh").read_text()
    toy.rewrite("s2gr/first/run.sh", script + "sed -i.bak 's/0.001/0.002/' params.yaml\n")
    assert toy.failure(toy.materialise("first"), "first").startswith("first: params.yaml: first changed while")


def test_a_stage_that_another_dvc_is_running_is_waited_for(toy: Any) -> None:
    script = (toy.root / "s2gr/first/run.sh").read_text()
    toy.rewrite("s2gr/first/run.sh", "touch started; sleep 3\n" + script)
    other = subprocess.Popen([sys.executable, "-m", "dvc", "repro", "first"], cwd=toy.root, stdout=subprocess.DEVNULL)
    _wait_for(toy.root / "started")
    result = toy.materialise("first")
    assert other.wait() == 0
    assert toy.materialization(result, "first").metadata["dvc"].value == "unchanged"


def test_a_long_wait_for_another_dvc_is_told_once(toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy.root)
    monkeypatch.setattr(dvc_project, "PROJECT", toy.project)
    monkeypatch.setattr(dvc_process, "TOLD", 0.0)
    monkeypatch.setattr(dvc_process, "PAUSE", 0.1)
    script = (toy.root / "s2gr/first/run.sh").read_text()
    # It goes on for as long as nobody is told, and for some attempts more.
    told = "until ls .s2gr/alerts/waiting/*.json; do sleep .1; done >&2"
    toy.rewrite("s2gr/first/run.sh", f"touch started; {told}; sleep 2\n{script}")
    other = subprocess.Popen([sys.executable, "-m", "dvc", "repro", "first"], cwd=toy.root, stdout=subprocess.DEVNULL)
    _wait_for(toy.root / "started")
    assert dvc_process.repro("first", False, tmp_path / "transcript") == 0
    assert other.wait() == 0
    ((alert, _),) = outbox(Workspace(toy.root))
    assert alert.kind == "waiting"
    assert f"(PID {other.pid})" in alert.text


def _killed_dvc(toy: Any) -> tuple[Path, str]:
    """Its lock file, and what it says: `first` is being written by this process."""
    script = (toy.root / "s2gr/first/run.sh").read_text()
    toy.rewrite("s2gr/first/run.sh", "touch started; sleep 60\n")
    command = [sys.executable, "-m", "dvc", "repro", "first"]
    with subprocess.Popen(command, cwd=toy.root, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        _wait_for(toy.root / "started")
        os.killpg(process.pid, signal.SIGKILL)
    toy.rewrite("s2gr/first/run.sh", script)
    rwlock = toy.root / ".dvc/tmp/rwlock"
    left = rwlock.read_text()
    assert str(process.pid) in left
    return rwlock, left.replace(str(process.pid), str(os.getpid()))


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="the system does not tell when a process began")
def test_the_lock_of_a_dvc_whose_number_another_process_has_now_holds_nobody(toy: Any) -> None:
    rwlock, left = _killed_dvc(toy)
    rwlock.write_text(left)
    drop_stale(toy.root)
    # This process may have written it.
    assert rwlock.read_text() == left
    before = started(os.getpid()) - 60
    os.utime(rwlock, (before, before))
    assert toy.materialise("first").success


@pytest.mark.parametrize("left", ["", "\0\0\0", "{}", "[]", '{"write": {"data": 1}}'])
def test_a_lock_file_that_a_power_cut_has_spoiled_holds_nobody(toy: Any, left: str) -> None:
    toy.rewrite(".dvc/tmp/rwlock", left)
    assert toy.materialise("first").success


def test_an_interrupt_reaches_the_stage_although_dvc_ignores_it(toy: Any, tmp_path: Path) -> None:
    toy.rewrite("s2gr/first/run.sh", "echo $$ > pid; exec sleep 60\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestration.dvc_process", str(tmp_path / "transcript"), "first"],
        cwd=toy.root,
        # As in the background of a script, where an interrupt is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    _wait_for(toy.root / "pid")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) != 0
    pid = int((toy.root / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()


def test_a_terminal_run_is_reported_as_dagster_itself_would(toy: Any) -> None:
    tags = toy.materialization(toy.materialise("first", "second"), "second").tags
    reported = reported_materialization(toy.project, toy.project.stages["second"])
    for tag in ("dagster/data_version", "dagster/code_version", "dagster/input_data_version/first"):
        assert reported.tags is not None
        assert reported.tags[tag] == tags[tag]


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not (path.exists() and (path.name == "started" or path.read_text().strip())):
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.05)
    assert os.access(path, os.R_OK)
