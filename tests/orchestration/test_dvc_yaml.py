"""dvc.yaml against the code it runs, and against the asset graph that is built from it."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from data_checks.suites import SUITES
from orchestration.definitions import defs
from orchestration.dvc_project import PROJECT
from s2gr.code_behind import sources
from s2gr.params import Params
from s2gr.stage import STAGES

ROOT = PROJECT.root
# Sections that are no stage: shared settings, where raw logs come from, what a check reads, and what is published.
SHARED_SECTIONS = {"runtime", "source", "drift", "publish", "retraining", "alerts", "serve"}
# Assets that DVC does not make in place: what a retraining makes of a snapshot, and what is served.
LOOP = {"challenger", "published"}


def code_of(stage: str) -> set[Path]:
    """The package's files that a stage can come to import, from its two entry points on."""
    return {path for path in sources([f"s2gr.{stage}.__main__", f"s2gr.{stage}.stage"]) if path.suffix == ".py"}


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_that_a_stage_imports_is_a_dependency(stage: str) -> None:
    declared = [Path(path) for path in PROJECT.stages[stage].code]
    missing = {file for file in code_of(stage) if not any(file.is_relative_to(path) for path in declared)}
    assert not missing


@pytest.mark.parametrize("stage", STAGES)
def test_every_code_dependency_is_imported(stage: str) -> None:
    used = code_of(stage)
    idle = {path for path in PROJECT.stages[stage].code if not any(file.is_relative_to(path) for file in used)}
    assert not idle


@pytest.mark.parametrize("stage", STAGES)
def test_every_section_that_a_stage_reads_is_declared(stage: str) -> None:
    code = [file for file in code_of(stage) if not file.is_relative_to("s2gr/params")]
    text = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in code)
    read = set(re.findall(r"\bparams\.([a-z_]+)\b", text)) & Params.model_fields.keys()
    # A stage may load another's module whose `run` reads that one's section; what is its own is in its folder.
    own = "\n".join(file.read_text(encoding="utf-8") for file in (ROOT / "s2gr" / stage).rglob("*.py"))
    read_here = set(re.findall(r"\bparams\.([a-z_]+)\b", own)) & read
    assert read_here <= set(PROJECT.stages[stage].params)


def test_stages_folders_sections_and_assets_have_the_same_names() -> None:
    assert tuple(PROJECT.stages) == STAGES
    assert Params.model_fields.keys() - SHARED_SECTIONS == set(STAGES)
    assert {path.parent.name for path in (ROOT / "s2gr").glob("*/stage.py")} == set(STAGES)
    graph = defs().resolve_asset_graph()
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == {*STAGES, *LOOP}
    for name, stage in PROJECT.stages.items():
        assert name in stage.params
        assert set(stage.params) <= {*SHARED_SECTIONS, name}
        assert f"reports/{name}.json" in stage.outs
        assert f"s2gr/{name}" in stage.code


def test_dvc_and_dagster_have_the_same_edges() -> None:
    graph = defs().resolve_asset_graph()
    dagster = {
        (parent.to_user_string(), key.to_user_string())
        for key in graph.get_all_asset_keys()
        if key.to_user_string() not in LOOP
        for parent in graph.get(key).parent_keys
    }
    shown = subprocess.run(
        [sys.executable, "-m", "dvc", "dag", "--dot"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert dagster == set(re.findall(r'"([a-z]+)" -> "([a-z]+)"', shown))
    assert len(dagster) >= len(STAGES) - 1


def test_our_reading_of_dvc_yaml_is_dvcs_own() -> None:
    program = """
import json
from dvc.repo import Repo
stages = {stage.name: stage for stage in Repo(".").index.stages}
print(json.dumps({name: {
    "cmd": stage.cmd,
    "deps": sorted(str(dep.def_path) for dep in stage.deps if not getattr(dep, "params", None)),
    "outs": sorted(str(out.def_path) for out in stage.outs),
} for name, stage in stages.items()}))
"""
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout) == {
        name: {
            "cmd": stage.command,
            "deps": sorted((*stage.code, *stage.data)),
            "outs": sorted((*stage.outs, *stage.metrics)),
        }
        for name, stage in PROJECT.stages.items()
    }


def test_params_yaml_names_every_parameter_and_is_valid() -> None:
    def keys(section: object, prefix: str = "") -> Iterator[str]:
        for key, value in section.items() if isinstance(section, dict) else ():
            yield f"{prefix}{key}"
            yield from keys(value, f"{prefix}{key}.")

    written = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert set(keys(written)) == set(keys(Params().model_dump(mode="json")))
    assert Params.model_validate(written) == Params()


def test_every_plot_is_an_out() -> None:
    described = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    outs = {out for stage in PROJECT.stages.values() for out in stage.outs}
    plotted = {file for entry in described["plots"] for plot in entry.values() for file in plot["y"]}
    assert plotted == {out for out in outs if out.endswith(".csv")}


def test_the_job_holds_every_asset_and_check() -> None:
    definitions = defs()
    job = definitions.resolve_job_def("pipeline")
    assert {key.to_user_string() for key in job.asset_layer.selected_asset_keys} == set(STAGES)
    assert {node.name for node in job.nodes} == {
        *STAGES,
        *(f"{name}_suite" for name in SUITES if name != "drift"),
        "drift",
    }


def test_critical_checks_block_and_warnings_do_not() -> None:
    modules = [importlib.import_module(f"data_checks.{name}") for name in SUITES]
    severities = {check.name: check.severity for module in modules for check in module.CHECKS}
    graph = defs().resolve_asset_graph()
    blocking = {key.name: graph.get(key).blocking for key in graph.asset_check_keys}
    assert blocking == {"gate": False} | {name: severity == "critical" for name, severity in severities.items()}


def test_every_asset_says_what_it_is() -> None:
    graph = defs().resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description
        assert node.group_name != "default"
        assert node.kinds
        assert node.owners
        if key.to_user_string() not in LOOP:
            assert "dvc" in node.kinds
            assert node.code_version


def test_the_code_version_changes_with_code_and_parameters_only(toy: object) -> None:
    from orchestration.dvc_project import code_version

    def version() -> str:
        return code_version(toy.project.current_ingredients("first"))  # type: ignore[attr-defined]

    before = version()
    toy.rewrite("landing/log.txt", "another log\n")  # type: ignore[attr-defined]
    toy.rewrite("s2gr/first/__pycache__/run.pyc", "compiled")  # type: ignore[attr-defined]
    assert version() == before
    toy.rewrite("s2gr/first/query.sql", "SELECT 1")  # type: ignore[attr-defined]
    with_code = version()
    toy.rewrite("params.yaml", (toy.root / "params.yaml").read_text().replace("0.001", "0.01"))  # type: ignore[attr-defined]
    assert len({before, with_code, version()}) == 3


def test_dg_check_defs_passes() -> None:
    found = subprocess.run(
        [str(Path(sys.executable).with_name("dg")), "check", "defs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
