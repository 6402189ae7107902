"""The closing tables of a run: rankings, semantic IDs, time, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from s2gr.code_tables import code_tables
from s2gr.errors import UserError
from s2gr.evaluation.labels import SYSTEMS
from s2gr.publish.versions import current_version
from s2gr.stage import STAGES, read_timings
from s2gr.workspace import Workspace, read_json, read_table

BASELINES = ("walk", "walk_undirected", "item_knn", "popularity")
FILTERS = {"": "whole catalogue", "_seen_filtered": "without items already seen"}


def print_summary(workspace: Workspace, console: Console) -> None:
    """Print what the reports of ``workspace`` say.

    Raises: UserError: if it has not been evaluated, or a report is damaged.
    """
    evaluation = _report(workspace, "evaluation")
    if evaluation is None:
        raise UserError(
            f"{workspace.report('evaluation')} is missing: run `make pipeline`, `dvc repro` or `s2gr run` first"
        )
    sids, timings = _report(workspace, "sids"), read_timings(workspace)
    parts: list[RenderableType] = [_rankings(evaluation), *_verdicts(evaluation)]
    if sids:
        parts += ["", _semantic_ids(sids), *_collisions(sids), *code_tables(workspace)]
    if timings:
        parts += ["", _times(timings)]
    console.print(Group(*parts, "", *_next_steps(workspace)))


def _report(workspace: Workspace, stage: str) -> Any:
    path = workspace.report(stage)
    if not path.exists():
        return None
    try:
        return read_json(path)
    except ValueError as error:
        raise UserError(f"{path} is not readable JSON ({error}); run the stage `{stage}` again") from error


def _rankings(evaluation: Mapping[str, Any]) -> Table:
    protocol = evaluation["protocol"]
    # recall@5, ndcg@5, recall@10, … as the report has them.
    metrics = [name for name in evaluation["s2gr"] if not name.startswith("mrr")]
    table = Table(title=f"Next item of {protocol['users']:,} users among {protocol['items']:,} items")
    table.add_column("ranking")
    for metric in metrics:
        table.add_column(_label(metric), justify="right", no_wrap=True)
    for suffix, told in FILTERS.items():
        table.add_row(Text(told, style="italic"))
        for name, label in SYSTEMS.items():
            if name + suffix in evaluation:
                values = [f"{evaluation[name + suffix][metric]:.4f}" for metric in metrics]
                table.add_row(f"  {label}", *values, style="bold" if name == "s2gr" else "")
        table.add_section()
    return table


def _verdicts(evaluation: Mapping[str, Any]) -> Iterator[str]:
    """S²GR against the best baseline under each filter: the difference, its 95 % interval, and what it means."""
    compared = evaluation["significance"]
    metric = compared["metric"]
    for suffix, told in FILTERS.items():
        measured = [baseline for baseline in BASELINES if baseline + suffix in evaluation]
        name = max(measured, key=lambda baseline: evaluation[baseline + suffix][metric])
        found = compared[f"s2gr_vs_{name}{suffix}"]
        interval = f"{found['difference']:+.4f} \\[{found['low']:+.4f}, {found['high']:+.4f}]"
        yield f"S²GR against {SYSTEMS[name]}, {told}: {_label(metric)} {interval}, {found['verdict']}"


def _semantic_ids(sids: Mapping[str, Any]) -> Table:
    levels = {name: figures for name, figures in sids.items() if name.startswith("level_")}
    columns = [key for key, value in next(iter(levels.values()), {}).items() if isinstance(value, int | float)]
    columns = [key for key in columns if key not in {"level", "codebook_size"}]
    table = Table(title=f"Semantic IDs of {sids.get('items', 0):,} items")
    table.add_column("level")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for name, figures in levels.items():
        table.add_row(name.removeprefix("level_"), *(_number(figures[column]) for column in columns))
    return table


def _collisions(sids: Mapping[str, Any]) -> Iterator[str]:
    found = sids.get("collisions")
    if found:
        yield (
            f"items in shared SIDs: {found['before']:.1%} before repair (largest group {found['largest_bucket']}), "
            f"{found['after']:.1%} after; {found['moved']:,} moved"
        )


def _times(timings: Mapping[str, Any]) -> Table:
    table = Table(title="Last run of each stage")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("peak MB of its process", justify="right")
    known = [stage for stage in STAGES if stage in timings]
    for stage in known:
        table.add_row(stage, f"{timings[stage]['seconds']:.1f}", f"{timings[stage]['peak_mb']:,}")
    table.add_section()
    peak = max((timings[stage]["peak_mb"] for stage in known), default=0)
    table.add_row("all", f"{sum(timings[stage]['seconds'] for stage in known):.1f}", f"{peak:,}")
    return table


def _next_steps(workspace: Workspace) -> Iterator[Text]:
    where = workspace.option
    user = read_table(workspace.events, ["user_id"])["user_id"][0].as_py()
    steps = {}
    if (workspace.root / "dvc.yaml").exists():
        steps["source .venv/bin/activate"] = "once in each shell, for the commands below"
    steps |= {f"s2gr recommend --user {shlex.quote(user)} -k 10{where}": "recommendations for one user"}
    if current_version(workspace.published):
        steps |= {
            f"s2gr explain --user {shlex.quote(user)} --html out.html{where}": "why these: a page with the thoughts",
            f"s2gr serve{where}": "the same over HTTP, http://127.0.0.1:8000",
        }
    if (workspace.root / "dvc.yaml").exists():
        steps |= {
            "make ui": "the pipeline in Dagster, http://127.0.0.1:3000",
            "dvc plots show": "loss curves, code usage, rankings",
            "dvc params diff": "what changed since the last commit",
        }
    steps["s2gr run --set source.kind=files --set source.path=FOLDER --workdir W"] = (
        "your own data (docs/data.md): user_id, item_id, timestamp; items with item_id, title, text"
    )
    yield Text("Next:")
    for command, told in steps.items():
        yield Text(f"  {command}\n      {told}")


def _label(metric: str) -> str:
    return metric.replace("recall", "Recall").replace("ndcg", "NDCG")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"
