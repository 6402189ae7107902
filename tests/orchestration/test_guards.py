"""What the code must not do, held by reading it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.dvc_project import PROJECT

ROOT = PROJECT.root
SOURCES = sorted(path for folder in ("s2gr", "orchestration", "data_checks") for path in (ROOT / folder).rglob("*.py"))
DEPRECATED = (
    "SourceAsset",
    "AutoMaterializePolicy",
    "multi_asset_sensor",
    "ExpectationResult",
    "build_last_update_freshness_checks",
    "build_time_partition_freshness_checks",
    "required_resource_keys",
)
IMPORT_ALL = """
import importlib, pkgutil, sys
import s2gr
for module in pkgutil.walk_packages(s2gr.__path__, "s2gr."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print("\\n".join(sorted({name.split(".")[0] for name in sys.modules})))
"""


def test_the_pipeline_imports_no_orchestrator_and_no_check_library() -> None:
    found = subprocess.run([sys.executable, "-c", IMPORT_ALL], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(found.stdout.split())
    assert "s2gr" in loaded
    assert not loaded & {"dagster", "dagster_pipes", "dvc", "great_expectations", "evidently"}


def test_pipes_is_the_only_orchestration_module_that_the_pipeline_names() -> None:
    for path in (ROOT / "s2gr").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            roots = {name.split(".")[0] for name in names}
            assert not roots & {"dagster", "dvc", "orchestration"}, path
            assert "dagster_pipes" not in roots or path.name == "pipes.py", path


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_selection_is_a_string(path: Path) -> None:
    """DVC pins an antlr4 under which Dagster's parser of selection strings dies."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg in {"selection", "asset_selection", "target"}:
            assert not any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in _own(node.value))
        if isinstance(node, ast.Attribute):
            assert node.attr != "from_string"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_deprecated_in_dagster_and_nothing_pickled(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not [name for name in DEPRECATED if re.search(rf"\b{name}\b", text)]
    assert not re.search(r"^\s*(import|from) (pickle|joblib|dill|shelve)\b", text, re.MULTILINE)


def test_no_command_of_ours_uses_a_selection_string() -> None:
    for name in ("Makefile", ".ci/run", "README.md"):
        text = (ROOT / name).read_text(encoding="utf-8") if (ROOT / name).exists() else ""
        assert not re.search(r"\b(dg|dagster)\b.*--select", text), name


def test_importing_the_definitions_loads_no_check_library() -> None:
    program = (
        "import sys; from orchestration.definitions import defs; defs().resolve_asset_graph(); print(*sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in found.stdout.split()}
    assert not loaded & {"great_expectations", "evidently", "torch", "dvc"}


def test_nothing_phones_home_whoever_starts_dagster() -> None:
    program = "import orchestration, os; print(*(os.environ[name] for name in ('DVC_NO_ANALYTICS', 'DO_NOT_TRACK',"
    program += " 'DAGSTER_DISABLE_TELEMETRY', 'GX_ANALYTICS_ENABLED')))"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, env={"PATH": ""}
    )
    assert found.stdout.split() == ["1", "1", "1", "false"]
    assert "analytics = false" in (ROOT / ".dvc/config").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in ("DVC_NO_ANALYTICS := 1", "DAGSTER_DISABLE_TELEMETRY := 1", "GX_ANALYTICS_ENABLED := false"):
        assert f"export {name}" in makefile


def test_every_server_binds_the_loopback_address() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"dg dev .*--host 127\.0\.0\.1", text)
    for path in SOURCES:
        assert "0.0.0.0" not in path.read_text(encoding="utf-8"), path


def _own(value: ast.AST) -> list[ast.AST]:
    """The value itself, and what it is made of outside of calls: arguments are no selections."""
    if isinstance(value, ast.Call):
        return []
    return [value, *(part for child in ast.iter_child_nodes(value) for part in _own(child))]
