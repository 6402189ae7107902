"""Landed files start the job `ingest` once, when they are whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration import landing as looking
from orchestration.definitions import defs
from orchestration.defs import jobs, sensors
from orchestration.dvc_project import Project
from orchestration.processes import started
from s2gr.params import Params
from s2gr.stage import execute
from s2gr.workspace import Workspace

TWO_STAGES = """\
stages:
  first:
    cmd: echo 1 > data/first.txt
    outs: [data/first.txt]
  second:
    cmd: touch begun; sleep 600; cp data/first.txt data/second.txt
    deps: [data/first.txt]
    outs: [data/second.txt]
"""
LINES = "user_id,item_id,timestamp\n"


class Site:
    """A project with a landing folder; `tick` evaluates the sensor as the daemon does."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.landing = root, root / "landing"
        self.cursor: str | None = None
        self.instance = dg.DagsterInstance.ephemeral()
        self.landing.mkdir()
        (root / "params.yaml").write_text("source: {kind: files, path: landing}\nevents: {k_core: 1}\n")
        monkeypatch.setattr(sensors, "PROJECT", Project(root))

    def land(self, name: str, events: int = 1, user: str = "u") -> Path:
        path = self.landing / name
        path.write_text(LINES + "".join(f"{user},i{number},{1_400_000_000 + number}\n" for number in range(events)))
        return path

    def tick(self) -> str | None:
        """The run key of a launched run, or None."""
        result: Any = sensors.landing(dg.build_sensor_context(self.instance, cursor=self.cursor))
        if isinstance(result, dg.SkipReason):
            return None
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        if not result.run_requests:
            assert result.skip_reason.skip_message
            return None
        (request,) = result.run_requests
        return str(request.run_key)

    def ingest(self) -> None:
        source = {"kind": "files", "path": self.landing}
        params = Params.model_validate({"runtime": {"threads": 1}, "source": source, "events": {"k_core": 1}})
        execute("events", params, Workspace(self.root))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(tmp_path, monkeypatch)
    yield site
    site.instance.dispose()


def test_it_is_on_and_starts_what_ingests_and_trains_nothing() -> None:
    assert sensors.landing.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensors.landing.job_name == jobs.ingest.name
    job = defs().resolve_job_def("ingest")
    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == {"events"}
    assert dg.validate_run_config(job, {"ops": {"events": {"config": {"force": True}}}})


def test_a_file_is_taken_when_it_stood_still_and_once(site: Site) -> None:
    site.land("a.csv")
    assert site.tick() is None
    key = site.tick()
    assert key
    # Until the log holds it, the same key: Dagster starts a key once.
    assert site.tick() == key
    site.ingest()
    assert site.tick() is None


def test_a_file_that_cannot_be_read_is_told(site: Site) -> None:
    # It can be listed, and for root too it can't be read from its beginning.
    (site.landing / "bad.csv").symlink_to("/proc/self/mem")
    assert site.tick() is None
    result = sensors.landing(dg.build_sensor_context(site.instance, cursor=site.cursor))
    assert isinstance(result, dg.SkipReason)
    assert "bad.csv can't be read (Input/output error); change its permissions, or move it away" in str(result)


def test_nothing_is_started_beside_a_run_of_dagster(site: Site) -> None:
    site.land("a.csv")
    assert site.tick() is None
    run = site.instance.create_run_for_job(defs().resolve_job_def("ingest"), status=dg.DagsterRunStatus.STARTED)
    # DVC removes the log before the stage makes it anew.
    assert site.tick() is None
    site.instance.delete_run(run.run_id)
    assert site.tick()


def test_nothing_is_started_beside_dvc_at_a_terminal(site: Site) -> None:
    site.land("a.csv")
    site.tick()
    (site.root / "dvc.yaml").write_text(TWO_STAGES)
    (site.root / "data").mkdir()
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], cwd=site.root, check=True)
    with subprocess.Popen([*dvc, "repro", "--quiet"], cwd=site.root, start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 60
            while not (site.root / "begun").exists():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert site.tick() is None
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    # A DVC that was killed leaves its entry behind.
    rwlock = site.root / ".dvc/tmp/rwlock"
    left = json.loads(rwlock.read_text())
    assert [entry["pid"] for entry in left["write"].values()] == [process.pid]
    assert site.tick()
    # After a power cut, its number is that of a process which began later.
    rwlock.write_text(json.dumps(left).replace(str(process.pid), str(os.getpid())))
    assert site.tick() is None
    before = started(os.getpid()) - 60
    os.utime(rwlock, (before, before))
    assert site.tick() or before < 0


def test_a_growing_file_and_an_unfinished_one_are_not_taken(site: Site) -> None:
    for events in range(1, 5):
        site.land("a.csv", events)
        assert site.tick() is None
    (site.landing / "b.csv.part").write_text(LINES)
    site.land(".c.csv")
    assert site.tick()
    site.ingest()
    assert site.tick() is None
    site.land("b.csv.part", 2, "v").rename(site.landing / "b.csv")
    assert site.tick() is None
    assert site.tick()


def test_a_retraining_which_works_elsewhere_keeps_nothing_waiting(site: Site) -> None:
    site.land("a.csv")
    site.tick()
    site.instance.add_run(dg.DagsterRun(job_name="retrain", run_id="1" * 32, status=dg.DagsterRunStatus.STARTED))
    assert site.tick()


def test_a_copy_or_a_new_name_is_nothing_new(site: Site) -> None:
    path = site.land("a.csv")
    site.ingest()
    path.rename(site.landing / "z.csv")
    site.land("again.csv")
    assert [site.tick() for _ in range(3)] == [None, None, None]


def test_a_file_that_comes_goes_and_comes_again_has_a_key_each_time(site: Site) -> None:
    site.land("a.csv")
    site.ingest()
    keys = []
    for _ in range(2):
        site.land("b.csv", 2, "v")
        site.tick()
        keys.append(site.tick())
        site.ingest()
        (site.landing / "b.csv").unlink()
        site.tick()
        keys.append(site.tick())
        # One that failed and left the log as it was is not asked for again.
        assert site.tick() == keys[-1]
        site.ingest()
    assert all(keys)
    assert len(set(keys)) == 4


def test_a_damaged_ledger_is_made_anew(site: Site) -> None:
    site.land("a.csv")
    site.tick()
    first = site.tick()
    site.ingest()
    ledger = Workspace(site.root).batches
    ledger.write_bytes(b"")
    # By another key than the first one, which Dagster has used.
    assert site.tick() not in (None, first)
    site.ingest()
    assert site.tick() is None
    assert ledger.stat().st_size


def test_a_clock_that_is_wrong_does_no_harm(site: Site) -> None:
    path = site.land("a.csv")
    os.utime(path, (4e9, 4e9))
    site.tick()
    assert site.tick()
    site.ingest()
    os.utime(path, (1e8, 1e8))
    assert [site.tick() for _ in range(2)] == [None, None]


def test_a_digest_that_lands_beside_a_file_is_something_new(site: Site) -> None:
    site.land("a.csv")
    site.ingest()
    (site.landing / "a.csv.sha256").write_text("0" * 64)
    site.tick()
    assert site.tick()


def test_a_digest_that_lands_while_a_file_is_read_waits_for_the_next_look(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.land("a.csv")
    site.tick()
    told = site.landing / "a.csv.sha256"

    def late(path: Path) -> str:
        if not told.exists():
            told.write_text(digest(path))
        return digest(path)

    digest = looking.digest
    monkeypatch.setattr(looking, "digest", late)
    key = site.tick()
    assert key
    assert site.tick() is None
    assert site.tick() not in (None, key)


def test_what_takes_long_to_read_is_read_over_several_looks(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def slow(path: Path) -> str:
        read.append(path.name)
        monkeypatch.setattr(looking, "_PATIENCE", -1.0)
        return digest(path)

    digest = looking.digest
    monkeypatch.setattr(looking, "digest", slow)
    for number in range(3):
        site.land(f"{number}.csv", number + 1)
    site.tick()
    for number in range(1, 3):
        monkeypatch.setattr(looking, "_PATIENCE", 60.0)
        assert site.tick() is None
        assert len(read) == number
    monkeypatch.setattr(looking, "_PATIENCE", 60.0)
    assert site.tick()
    assert site.tick()
    # Each once: the cursor remembers.
    assert read == ["0.csv", "1.csv", "2.csv"]


def test_nothing_lands_where_the_source_is_movielens(site: Site) -> None:
    (site.root / "params.yaml").write_text("source: {kind: movielens-100k}\n")
    assert isinstance(sensors.landing(dg.build_sensor_context(site.instance)), dg.SkipReason)


def test_params_that_are_wrong_are_told(site: Site) -> None:
    (site.root / "params.yaml").write_text("source: {kind: folders}\n")
    skipped = sensors.landing(dg.build_sensor_context(site.instance))
    assert isinstance(skipped, dg.SkipReason)
    assert "source.kind" in str(skipped.skip_message)
