"""What `dvc push` shares: with the checkout, its lock file and the remote, a colleague has the model untrained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.dvc_project import Project
from s2gr.stage import STAGES

from .conftest import PARTS, PipelineCopy


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server on loopback with an empty bucket `models`."""
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    pytest.importorskip("dvc_s3")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for key, value in CREDENTIALS.items():
        monkeypatch.setenv(key, value)
    url = f"http://{host}:{port}"
    boto3.client("s3", endpoint_url=url).create_bucket(Bucket="models")
    yield url
    server.stop()


CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_colleague_with_the_lock_file_and_the_remote_has_the_same_model_without_training(
    kind: str, pipeline_copy: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    pipeline_copy.reset()
    theirs = _checkout_of(pipeline_copy, tmp_path)
    if kind == "s3":
        url = request.getfixturevalue("s3")
        for project in (pipeline_copy, theirs):
            project.environment |= CREDENTIALS
            project.dvc("remote", "add", "--local", "--force", "shared", "s3://models/s2gr")
            project.dvc("remote", "modify", "--local", "shared", "endpointurl", url)
    else:
        for project in (pipeline_copy, theirs):
            project.dvc("remote", "add", "--local", "--force", "shared", str(tmp_path / "remote"))
    pipeline_copy.dvc("push", "--remote", "shared")
    theirs.dvc("pull", "--remote", "shared")
    assert json.loads(theirs.dvc("status", "--json")) == {}
    assert theirs.dvc("repro").count("didn't change, skipping") == len(STAGES)
    for stage in Project(theirs.root).stages.values():
        for out in (*stage.outs, *stage.metrics):
            assert _bytes(theirs.root / out) == _bytes(pipeline_copy.root / out), out
    # No stage has left its trace.
    assert not (theirs.root / ".s2gr").exists()
    if kind == "folder":
        published = theirs.run("s2gr", "publish")
        assert published.returncode == 0, published.stdout
        user = pq.read_table(theirs.root / "data/events.parquet", columns=["user_id"])["user_id"][0].as_py()
        asked = theirs.run("s2gr", "recommend", "--user", user, "-k", "3", "--json")
        assert asked.returncode == 0, asked.stdout


def test_without_the_raw_logs_only_what_reads_them_is_out_of_date(pipeline_copy: Any, tmp_path: Path) -> None:
    pipeline_copy.reset()
    theirs = _checkout_of(pipeline_copy, tmp_path)
    shutil.rmtree(theirs.root / "data/landing")
    shutil.copytree(pipeline_copy.root / ".dvc/cache", theirs.root / ".dvc/cache")
    theirs.dvc("checkout")
    assert set(json.loads(theirs.dvc("status", "--json"))) == {"events", "content"}
    assert "didn't change" in theirs.dvc("repro", "--single-item", "reasoner")


def _checkout_of(project: Any, folder: Path) -> PipelineCopy:
    """What git and a copy of the raw logs give to a colleague."""
    theirs = PipelineCopy(folder / "s2gr")
    for part in (*PARTS, "dvc.lock", "data/landing"):
        source, target = project.root / part, theirs.root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    assert theirs.run("git", "init", "--quiet").returncode == 0
    return theirs


def _bytes(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}
