"""dvc.yaml → Dagster assets; one run of a stage → one materialisation.

DVC owns the artefacts and decides what is out of date, Dagster owns the events. An asset's body asks DVC to reproduce
its stage and reports what dvc.lock then says, so both tools agree on what is fresh.
"""

# No `from __future__ import annotations` here: Dagster reads the annotations of an asset's function.
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterPipesExecutionError

from orchestration.describe import describe
from orchestration.dvc_process import STAGE_STARTED
from orchestration.dvc_project import Project, Stage, code_version


class RunStage(dg.Config):
    """Dagster's only run configuration; all else stands in params.yaml."""

    force: bool = False


def asset_spec(project: Project, stage: Stage) -> dg.AssetSpec:
    """The stage as Dagster shows it."""
    return dg.AssetSpec(
        key=stage.name,
        deps=project.upstream(stage),
        description=stage.description,
        group_name=stage.group,
        kinds={"dvc", *stage.kinds},
        owners=list(stage.owners),
        code_version=code_version(project.current_ingredients(stage.name)),
        metadata={
            "command": stage.command,
            "code": dg.MetadataValue.md("\n".join(f"- `{path}`" for path in stage.code)),
            "outs": dg.MetadataValue.md("\n".join(f"- `{path}`" for path in (*stage.outs, *stage.metrics))),
            "params": dg.MetadataValue.md("\n".join(f"- `{section}`" for section in stage.params)),
        },
    )


def stage_asset(project: Project, stage: Stage) -> dg.AssetsDefinition:
    """The asset whose body is `dvc repro --single-item <stage>`."""

    @dg.multi_asset(name=stage.name, specs=[asset_spec(project, stage)])
    def materialise(
        context: dg.AssetExecutionContext, config: RunStage, pipes: dg.PipesSubprocessClient
    ) -> dg.MaterializeResult[Any]:
        return run_stage(context, project, stage, pipes, force=config.force)

    return materialise


def run_stage(
    context: dg.AssetExecutionContext,
    project: Project,
    stage: Stage,
    pipes: dg.PipesSubprocessClient,
    force: bool,
) -> dg.MaterializeResult[Any]:
    """Reproduce one stage.

    Raises: dg.Failure: with the stage's own one-line error; or if its code or parameters were edited while it ran,
        because DVC records what it finds after the run, and so the wrong cause of the result.
    """
    before = project.current_ingredients(stage.name)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="s2gr-dvc-") as folder:
        transcript = Path(folder) / "transcript"
        command = [sys.executable, "-m", "orchestration.dvc_process", str(transcript), stage.name]
        try:
            pipes.run(
                context=context,
                command=[*command, "--force"] if force else command,
                cwd=str(project.root),
                env=_environment(),
            )
        except DagsterPipesExecutionError:
            said = transcript.read_text(encoding="utf-8") if transcript.exists() else ""
            raise dg.Failure(_reason(stage, said), allow_retries=False) from None
        said = transcript.read_text(encoding="utf-8")
    _refuse_changed(project, stage, before)
    return dg.MaterializeResult(
        asset_key=stage.name,
        data_version=dg.DataVersion(project.recorded_data_version(stage.name) or "none"),
        metadata={
            "dvc": _verdict(said),
            "seconds": round(time.monotonic() - started, 1),
            **describe(project, stage),
        },
    )


def reported_materialization(project: Project, stage: Stage) -> dg.AssetMaterialization:
    """What a run at a terminal left in dvc.lock, as the materialisation that Dagster did not see."""
    ingredients = project.recorded_ingredients(stage.name)
    inputs: dict[str, str] = {}
    for name in project.upstream(stage):
        # Both tags, or Dagster takes the input for a new one. No event is named: it may be reported together with this.
        inputs[f"dagster/input_data_version/{name}"] = project.recorded_data_version(name) or "none"
        inputs[f"dagster/input_event_pointer/{name}"] = "NULL"
    return dg.AssetMaterialization(
        asset_key=stage.name,
        description="reported from dvc.lock: run by `dvc repro` at a terminal",
        metadata={"dvc": "ran at a terminal", **describe(project, stage)},
        tags={
            "dagster/data_version": project.recorded_data_version(stage.name) or "none",
            "dagster/data_version_is_user_provided": "true",
            "dagster/code_version": code_version(ingredients),
            **inputs,
        },
    )


def _environment() -> Mapping[str, str]:
    """The stage's `python` is this one, when the project has no .venv of its own."""
    return {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}


def _refuse_changed(project: Project, stage: Stage, before: Mapping[str, str]) -> None:
    recorded = project.recorded_ingredients(stage.name)
    changed = sorted(key for key in {*before, *recorded} if before.get(key) != recorded.get(key))
    if changed:
        raise dg.Failure(
            f"{stage.name}: {', '.join(changed)} changed while the stage ran, so DVC recorded a cause that did not "
            "make this result; launch the stage again with `force: true`",
            allow_retries=False,
        )


def _verdict(said: str) -> str:
    if STAGE_STARTED in said:
        return "ran"
    return "restored from the run cache" if "is cached - skipping run" in said else "unchanged"


def _reason(stage: Stage, said: str) -> str:
    """The stage's own error line; else the exception of a traceback; else DVC's; else the last thing that was said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    own = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    raised = [line for line in lines if "Traceback (most" in said and re.match(r"[\w.]+(Error|Exception|Exit)\b", line)]
    dvc = [re.sub(r"^ERROR: (failed to reproduce '\S+': )?", "", line) for line in lines if line.startswith("ERROR: ")]
    reasons = own or raised or dvc or lines or ["DVC said nothing; see the step's stderr"]
    reason = reasons[-1]
    return reason if reason.startswith(f"{stage.name}:") else f"{stage.name}: {reason}"
