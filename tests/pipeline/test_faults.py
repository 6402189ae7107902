"""What can happen to a run from outside: nothing is lost, nothing half-done, and the error says what to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import pytest
import yaml

from s2gr import alerts
from s2gr.params import Params
from s2gr.publish import versions
from s2gr.publish.publishing import publish
from s2gr.stage import STAGES
from s2gr.workspace import Workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture
def disturb(finished: Workspace, finished_once: tuple[Workspace, Params], tmp_path: Path) -> Callable[..., Any]:
    """Runs `disturb.py` on ``finished``, behind ``before``; returns what it found of each stage."""
    params = tmp_path / "params.yaml"
    params.write_text(yaml.safe_dump(finished_once[1].model_dump(mode="json")), encoding="utf-8")

    def run(disturbance: str, *before: str, workdir: Path = finished.root) -> Any:
        script = str(Path(__file__).with_name("disturb.py"))
        command = [*before, sys.executable, script, disturbance, str(workdir), str(params), str(ROOT / "dvc.yaml")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert found.returncode == 0, found.stderr[-3000:]
        return json.loads(found.stdout.splitlines()[-1])

    return run


def test_every_stage_killed_at_random_points_ends_with_the_same_bytes(disturb: Callable[..., Any]) -> None:
    killed = disturb("killed")
    assert list(killed) == list(STAGES)
    assert sum(len(points) for points in killed.values()) == 10


def test_a_full_disk_is_told_and_leaves_the_old_outputs(
    disturb: Callable[..., Any], finished: Workspace, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=16m none {disk}"
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "sh", "-c", mount]).returncode:
        pytest.skip("no file system of one's own may be mounted here")
    full = ["unshare", "-rm", "sh", "-c", f'{mount} && cp -r {finished.root}/. {disk} && exec "$@"', "sh"]
    said = disturb("full", *full, workdir=disk)
    assert list(said) == list(STAGES)
    for stage, line in said.items():
        assert line.startswith(f"error: {stage}: the disk is full: ")
        assert "free some space" in line


def test_a_file_larger_than_allowed_is_told_and_leaves_the_old_outputs(disturb: Callable[..., Any]) -> None:
    for stage, line in disturb("limited").items():
        assert line.startswith(f"error: {stage}: ")
        assert "ulimit -f" in line


class _SetBack(datetime):
    """A clock that went back a year."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) - timedelta(days=365)


def test_after_the_clock_went_back_the_newest_version_is_the_one_served_and_alerts_go_out(
    finished: Workspace, made_with: Callable[..., Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish(finished, made_with())
    alerts.post(finished, alerts.Alert("a", "failed", "Failed", "A run has failed."))
    (finished.state / "alert_urls").write_text("json://127.0.0.1:9\n", encoding="utf-8")
    assert alerts.deliver(finished, send=lambda receiver, alert: "unreachable") == []
    for module in (versions, alerts):
        monkeypatch.setattr(module, "datetime", _SetBack)
    later = [publish(finished, made_with(evaluation={"bootstrap": 100 + n}, publish={"keep": 2})) for n in (1, 2)]
    names = versions.version_names(finished.published)
    assert [each.current for each in later] == names
    assert names[0] > first.current
    assert versions.current_version(finished.published) == names[-1]
    assert versions.rollback(finished.published).version == names[0]
    assert [alert.id for alert in alerts.deliver(finished, send=lambda receiver, alert: "")] == ["a"]


def test_a_source_edited_while_a_model_trains_is_refused_and_the_old_model_comes_back(pipeline_copy: Any) -> None:
    pipeline_copy.reset()
    root: Path = pipeline_copy.root
    before, lock = _bytes(root / "models/reasoner"), (root / "dvc.lock").read_bytes()
    source, params = root / "s2gr/reasoner/model.py", root / "params.yaml"
    kept = {path: path.read_bytes() for path in (source, params)}
    pipeline_copy.change({"reasoner": {"epochs": 15, "patience": 15}})
    process = _start(pipeline_copy, "dvc", "repro", "reasoner")
    checkpoint = root / ".s2gr/unfinished/reasoner/checkpoint.safetensors"
    deadline = time.monotonic() + 180
    while not checkpoint.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    source.write_bytes(kept[source] + b"# edited\n")
    said, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "error: reasoner: s2gr/reasoner/model.py changed while the stage ran" in said
    assert "run the stage again" in said
    assert (root / "dvc.lock").read_bytes() == lock
    assert not (root / "models/reasoner").exists()
    for path, content in kept.items():
        path.write_bytes(content)
    pipeline_copy.dvc("checkout")
    assert _bytes(root / "models/reasoner") == before
    assert json.loads(pipeline_copy.dvc("status", "--json")) == {}


def test_of_two_dvc_repro_at_once_one_works_and_the_other_is_told(pipeline_copy: Any) -> None:
    pipeline_copy.change({"evaluation": {"bootstrap": 150}})
    both = [_start(pipeline_copy, "dvc", "repro") for _ in range(2)]
    said = [process.communicate(timeout=300)[0] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes, said
    for code, told in zip(codes, said, strict=True):
        assert code == 0 or "is busy, it is being blocked by" in told or "Unable to acquire lock" in told, told
    assert json.loads(pipeline_copy.dvc("status", "--json")) == {}


def _start(pipeline_copy: Any, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=pipeline_copy.root,
        env=pipeline_copy.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
