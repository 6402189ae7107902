from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from data_checks.__main__ import main
from data_checks.suites import SUITES

HEAVY = ("great_expectations", "evidently", "pandas", "dagster")


def test_importing_the_suites_imports_none_of_the_heavy_packages() -> None:
    code = (
        "import importlib, sys\n"
        f"for name in {(*SUITES, 'batches')!r}: importlib.import_module(f'data_checks.{{name}}')\n"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert found.stdout.strip() == "[]"


def test_check_names_are_unique_and_each_says_why() -> None:
    checks = [check for name in SUITES for check in importlib.import_module(f"data_checks.{name}").CHECKS]
    assert len({check.name for check in checks}) == len(checks)
    assert all(check.description.endswith(".") and len(check.description) > 30 for check in checks)


def test_conforming_workspace_exits_with_0_and_a_table(
    artefacts: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--workdir", str(artefacts.write(tmp_path))]) == 0
    printed = capsys.readouterr().out
    assert "rows_sorted" in printed
    assert "sids_unique" in printed
    assert "0 critical and 0 warnings failed" in printed
    assert "sid_drift.html" in printed


def test_failed_critical_check_exits_with_1(artefacts: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artefacts.events["split"][0] = "holdout"
    assert main(["events", "--workdir", str(artefacts.write(tmp_path))]) == 1
    printed = capsys.readouterr().out
    assert "NO" in printed
    assert "1: holdout" in printed
    assert "timestamp[us, tz=UTC]" in " ".join(printed.replace("│", " ").split())


def test_failed_warning_exits_with_0(artefacts: Any, tmp_path: Path) -> None:
    artefacts.sids["code_1"] = [0] * 64
    assert main(["sids", "--workdir", str(artefacts.write(tmp_path))]) == 0


@pytest.mark.parametrize("arguments", [["nonsense"], ["events", "--workdir", "nowhere"], ["--params", "none.yaml"]])
def test_user_mistake_exits_with_2_and_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: data_checks:")]
    assert len(lines) == 1
