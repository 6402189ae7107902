"""Projects without the seconds that real stages take: one of two shell commands, and one that the sensors look at."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from orchestration.defs import loop
from orchestration.dvc_bridge import stage_asset
from orchestration.dvc_project import Project

from .watched import Site

DVC_YAML = """\
stages:
  first:
    desc: copies
    cmd: sh s2gr/first/run.sh
    deps: [s2gr/first, "${source.path}"]
    params: [runtime, first]
    outs: [data/first.txt, data/other.txt]
    metrics: [reports/first.json]
    meta: {group: toys, kinds: [shell], owners: ["team:toys"]}
  second:
    cmd: cp data/first.txt data/second.txt
    deps: [s2gr/second, data/first.txt]
    params: [second]
    outs: [data/second.txt]
"""
PARAMS = """\
runtime: {seed: 0}
source: {path: landing}
first: {rate: 0.001, layers: [1, 2], none: null}
second: {flag: true}
"""
FIRST = """\
mkdir -p reports
cp landing/log.txt data/first.txt
echo other > data/other.txt
echo '{"rows": 3, "ndcg": {"at 10": 0.5}}' > reports/first.json
"""


class Toy:
    """The project, and one way to run its assets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.instance = dg.DagsterInstance.ephemeral()

    @property
    def project(self) -> Project:
        return Project(self.root)

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)

    def materialise(self, *stages: str, force: bool = False) -> dg.ExecuteInProcessResult:
        assets = [stage_asset(self.project, stage) for stage in self.project.stages.values()]
        config = dg.RunConfig(ops={name: {"config": {"force": force}} for name in stages})
        return dg.materialize(
            assets,
            selection=dg.AssetSelection.assets(*stages),
            resources={"pipes": dg.PipesSubprocessClient()},
            instance=self.instance,
            run_config=config,
            raise_on_error=False,
        )

    @staticmethod
    def materialization(result: dg.ExecuteInProcessResult, stage: str) -> dg.AssetMaterialization:
        (event,) = result.asset_materializations_for_node(stage)
        return event

    @staticmethod
    def failure(result: dg.ExecuteInProcessResult, stage: str) -> str:
        (event,) = [event for event in result.get_step_failure_events() if event.step_key == stage]
        data = event.step_failure_data
        assert data.user_failure_data is not None, data.error
        return data.user_failure_data.description or ""

    def rewrite(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    monkeypatch.setenv("S2GR_DVC_PAUSE", "0.2")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    toy = Toy(tmp_path / "toy")
    toy.rewrite("dvc.yaml", DVC_YAML)
    toy.rewrite("params.yaml", PARAMS)
    toy.rewrite("s2gr/first/run.sh", FIRST)
    toy.rewrite("s2gr/second/note.py", "1\n")
    toy.rewrite("landing/log.txt", "a log\n")
    toy.rewrite("data/.gitkeep", "")
    toy.dvc("init", "--no-scm", "--quiet")
    yield toy
    toy.instance.dispose()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    site = Site(tmp_path)
    monkeypatch.setattr(loop, "PROJECT", Project(tmp_path))
    monkeypatch.setenv("S2GR_ALERT_URLS", "")
    yield site
    site.instance.dispose()
