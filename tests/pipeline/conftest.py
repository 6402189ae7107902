"""The project as it is checked out, in a folder of its own, on a small made-up log and with small models."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARTS = (
    "s2gr",
    "orchestration",
    "data_checks",
    "data/landing/README.md",
    "dvc.yaml",
    "params.yaml",
    "pyproject.toml",
    ".dvc/config",
    ".dvc/plots",
    ".dvc/.gitignore",
    ".dvcignore",
    ".gitignore",
)
USERS = 60
SMALL: dict[str, dict[str, Any]] = {
    "runtime": {"threads": 1, "memory_gb": 1.0, "device": "cpu"},
    "source": {"kind": "files", "path": "data/landing"},
    "events": {"k_core": 3},
    "content": {"dim": 16},
    "codebook": {"codes": 16, "latent_dim": 8, "hidden": [32], "epochs": 3},
    "reasoner": {
        "dim": 16,
        "heads": 2,
        "feed_forward": 32,
        "history": 10,
        "epochs": 1,
        "clusters": 4,
        "validation_users": 50,
    },
    "evaluation": {"beams": [10], "bootstrap": 100},
}


class PipelineCopy:
    """A copy of the project; commands run in it with this interpreter."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("DAGSTER")},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(root),
            "DVC_NO_ANALYTICS": "1",
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "DAGSTER_HOME": str(root / ".dagster"),
            "S2GR_SENSOR_INTERVAL": "2",
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def dvc(self, *arguments: str) -> str:
        found = self.run("dvc", *arguments)
        assert found.returncode == 0, found.stdout
        return found.stdout

    def change(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        path = self.root / "params.yaml"
        params = yaml.safe_load(path.read_text(encoding="utf-8"))
        for section, values in changes.items():
            params[section] |= values
        path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")

    def reset(self) -> None:
        """As after the first `dvc repro`, whatever was changed and has landed since: DVC kept what it made then."""
        shutil.copy(ROOT / "params.yaml", self.root / "params.yaml")
        self.change(SMALL)
        for path in (self.root / "data/landing").glob("*.csv"):
            path.unlink()
        self.dvc("repro")


@pytest.fixture(scope="session")
def pipeline_copy(tmp_path_factory: pytest.TempPathFactory) -> PipelineCopy:
    root = tmp_path_factory.mktemp("project") / "s2gr"
    for part in PARTS:
        source, target = ROOT / part, root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (root / ".dagster").mkdir()
    shutil.copy(ROOT / "orchestration/dagster.yaml", root / ".dagster/dagster.yaml")
    copy = PipelineCopy(root)
    assert copy.run("git", "init", "--quiet").returncode == 0
    copy.change(SMALL)
    _land(root / "data/landing")
    return copy


def _land(folder: Path) -> None:
    interactions, items = _made_up()
    pq.write_table(interactions, folder / "interactions.parquet")
    pq.write_table(items, folder / "items.parquet")


def _made_up() -> tuple[pa.Table, pa.Table]:
    """A log and its items; whatever lies in the checkout, the tests are about the same."""
    generator = np.random.default_rng(0)
    users = np.repeat(np.arange(USERS), 20)
    events = pa.table(
        {
            "user_id": [f"u{user}" for user in users],
            "item_id": [f"i{int(item)}" for item in generator.zipf(1.3, len(users)) % 300],
            "timestamp": pa.array((1_400_000_000 + np.arange(len(users))) * 1_000_000, pa.timestamp("us", tz="UTC")),
        }
    )
    titles = [f"{generator.choice(['red', 'green', 'blue'])} thing {item}" for item in range(300)]
    return events, pa.table({"item_id": [f"i{item}" for item in range(300)], "title": titles, "text": titles})
