"""The challenger, the gate and what is published, as assets: job `retrain`."""

# No `from __future__ import annotations` here: Dagster reads the annotations of an asset's function.
from collections.abc import Iterator
from typing import Any

import dagster as dg

from orchestration import notices
from orchestration.describe import describe
from orchestration.dvc_bridge import run_stage
from orchestration.dvc_project import PROJECT
from s2gr.errors import UserError
from s2gr.publish.versions import current_version
from s2gr.workspace import Workspace, read_json

GROUP = "loop"
OWNERS = ["team:recommendations"]
CHALLENGER, PUBLISHED, GATE = "challenger", "published", "gate"
# Tag of a run: the drift checks that asked for it.
SIGNALS = "s2gr/drift"


@dg.asset(
    name=CHALLENGER,
    deps=["events"],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"dvc", "pytorch"},
    description="A model trained on all that has landed: dvc.yaml, run on a snapshot of the project below "
    ".s2gr/retraining, with the champion's codebook to start from. The champion serves on, the working tree stays.",
)
def challenger(context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient) -> dg.MaterializeResult[Any]:
    from orchestration.retraining import Retraining

    workspace, retraining = Workspace(PROJECT.root), Retraining(PROJECT.root, identity(context.run))
    signals = [name for name in context.run.tags.get(SIGNALS, "").split(", ") if name]
    try:
        begun = retraining.begin(signals)
    except UserError as error:
        raise dg.Failure(f"{CHALLENGER}: {error}", allow_retries=False) from None
    context.log.info("%s in %s", "begins" if begun else "goes on", retraining.folder)
    notices.retraining_started(workspace, retraining.id, context.run.run_id, retraining.facts)
    project = retraining.project
    metadata: dict[str, Any] = {}
    for stage in project.stages.values():
        run_stage(context, project, stage, pipes, force=False)
        if stage.name == "evaluation":
            metadata |= describe(project, stage)
    churn = read_json(retraining.work.report("sids")).get("churn")
    return dg.MaterializeResult(
        metadata={
            "champion": retraining.facts["champion"] or "none",
            "warm start": retraining.facts["warm_start"],
            **{f"churn: {part}": share["raw"] for part, share in (churn or {}).items() if isinstance(share, dict)},
            "folder": dg.MetadataValue.path(retraining.folder),
            "report": dg.MetadataValue.path(retraining.folder / "reports/evaluation.html"),
            **metadata,
        }
    )


@dg.multi_asset(
    name=PUBLISHED,
    specs=[
        dg.AssetSpec(
            PUBLISHED,
            deps=[CHALLENGER],
            group_name=GROUP,
            owners=OWNERS,
            kinds={"safetensors"},
            description="The bundle in models/published/current, which everything that people use reads. A challenger "
            "gets there through the gate only.",
            skippable=True,
        )
    ],
    check_specs=[
        dg.AssetCheckSpec(
            GATE,
            asset=PUBLISHED,
            description="Champion and challenger recommend to the same users of the newest held-out events. The "
            "challenger must be significantly better in one figure and worse in none, and its data checks green.",
        )
    ],
)
def published(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    from data_checks.green import faults
    from orchestration.retraining import Retraining, remove_old
    from s2gr.publish.gate import Gate
    from s2gr.publish.publishing import publish

    workspace, retraining = Workspace(PROJECT.root), Retraining(PROJECT.root, identity(context.run))
    params, run_id = retraining.params, context.run.run_id
    facts = {"commit": retraining.facts["commit"], "retraining": retraining.facts}
    version = current_version(workspace.published)
    champion = Workspace(workspace.published / version) if version else None
    try:
        gate = Gate(retraining.work, params, faults(retraining.folder, params, champion))
        outcome = publish(retraining.work, params, gate, into=workspace, facts=facts)
    except UserError as error:
        raise dg.Failure(f"{PUBLISHED}: {error}", allow_retries=False) from None
    serving = outcome.kind in ("published", "unchanged")
    told = outcome.verdict.told if outcome.verdict else _WITHOUT_VERDICT[outcome.kind]
    figures = notices.flat(outcome.verdict, read_json(retraining.work.report("sids")).get("churn"))
    tell = notices.published if serving else notices.rejected
    tell(workspace, retraining.id, run_id, outcome.current, told, figures)
    yield dg.AssetCheckResult(
        asset_key=PUBLISHED,
        check_name=GATE,
        passed=serving,
        # A challenger that is no better is no fault: the run succeeds, and the champion stays.
        severity=dg.AssetCheckSeverity.WARN,
        description=told,
        metadata={
            "verdict": told,
            "champion": retraining.facts["champion"] or "none",
            **figures,
            # As numbers, for the plots of the check's history.
            **{f"{name}: difference": value for name, value in notices.differences(outcome.verdict).items()},
        },
    )
    if serving:
        yield materialisation(workspace, outcome.current, {"gate": told, **figures})
    removed = remove_old(PROJECT.root, params.retraining.keep)
    context.log.info("served: %s; removed: %s", outcome.current, ", ".join(removed) or "nothing")


_WITHOUT_VERDICT = {
    "unchanged": "it is published already",
    "withdrawn": "somebody has gone back from this very model; `s2gr rollback VERSION` serves it again",
}


def identity(run: dg.DagsterRun) -> str:
    """Of the retraining: a run that is tried again goes on with it."""
    return (run.root_run_id or run.run_id)[:8]


def materialisation(workspace: Workspace, version: str, more: dict[str, Any]) -> dg.MaterializeResult[Any]:
    """What is served now."""
    return dg.MaterializeResult(
        asset_key=PUBLISHED,
        data_version=dg.DataVersion(version),
        metadata={**bundle_metadata(workspace, version), **more},
    )


def bundle_metadata(workspace: Workspace, version: str) -> dict[str, Any]:
    """The bundle's figures and where it came from."""
    manifest = read_json(workspace.published / version / "manifest.json")
    # Beside the model's own, each metric has those of the baselines.
    figures = {name: systems["s2gr"] for name, systems in manifest["metrics"].items()}
    return {
        "version": version,
        "previous": manifest["previous"] or "none",
        "commit": manifest["commit"],
        "log until": manifest["log"]["last"],
        "events": manifest["log"]["events"],
        "bundle": dg.MetadataValue.path(workspace.published / version),
        **figures,
    }


@dg.definitions
def retraining() -> dg.Definitions:
    return dg.Definitions(
        assets=[challenger, published],
        jobs=[
            dg.define_asset_job(
                "retrain",
                selection=dg.AssetSelection.assets(CHALLENGER, PUBLISHED),
                description="Trains a challenger on all that has landed; it is published if it passes the gate. "
                "Started by a drift alarm, or by hand.",
                # What crashed goes on where it stopped; what failed would fail again.
                tags={
                    "s2gr/place": "snapshot",
                    "dagster/max_retries": "2",
                    "dagster/retry_on_asset_or_op_failure": "false",
                },
            )
        ],
    )
