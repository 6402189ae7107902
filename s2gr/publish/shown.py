"""Published versions as people see them in a terminal, and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from s2gr.errors import UserError
from s2gr.manifest import read_manifest
from s2gr.publish.publishing import Outcome
from s2gr.publish.versions import current_version, version_names
from s2gr.workspace import Workspace


def told(outcome: Outcome, workspace: Workspace) -> str:
    """What came of a publication of the workspace, in a line or two."""
    match outcome.kind:
        case "published":
            removed = f"; removed {', '.join(outcome.removed)}" if outcome.removed else ""
            return f"published {outcome.current}, which is served now{removed}"
        case "unchanged":
            return f"unchanged: {outcome.current}, which is served, holds the same"
        case "withdrawn":
            return (
                "not published: somebody went back from a version with the same model; "
                f"{outcome.current or 'nothing'} goes on being served. To publish it all the same: "
                f"`s2gr publish --force{workspace.option}`"
            )
        case "older":
            return (
                f"not published: {outcome.current}, which is served, was retrained on a log that ends later than this "
                "folder's. Run the stages anew, or publish it all the same: "
                f"`s2gr publish --force{workspace.option}`"
            )
        case "rejected":
            assert outcome.verdict is not None
            return f"not published: {outcome.verdict.told}; {outcome.current or 'nothing'} goes on being served"


def versions_as_json(published: Path) -> str:
    """Every version with what its manifest says, newest first."""
    return json.dumps(_versions(published), ensure_ascii=False, indent=2)


def print_versions(published: Path, console: Console) -> None:
    """A line per version, newest first."""
    found = _versions(published)
    if not found:
        raise UserError(f"nothing is published in {published}: run `make pipeline`, or `s2gr publish` after the stages")
    metrics = list(dict.fromkeys(name for version in found for name in version.get("metrics", {})))
    table = Table(title=Text(f"Published in {published}", style="table.title"))
    for column in ("", "version", "events until", "training events", *map(_label, metrics), "commit"):
        table.add_column(column, justify="right" if column.startswith(("training", "NDCG")) else "left")
    for version in found:
        mark = "▶" if version["current"] else ""
        if "damaged" in version:
            table.add_row(mark, version["version"], Text(f"damaged: {version['damaged']}", style="red"))
            continue
        measured = [version["metrics"].get(name, {}).get("s2gr") for name in metrics]
        table.add_row(
            mark,
            version["version"],
            str(version["log"]["last"])[:10],
            f"{version['training']['events']:,}",
            *("–" if value is None else f"{value:.4f}" for value in measured),
            version["commit"][:7] + ("+" if version["commit"].endswith("+") else ""),
        )
    console.print(table)


def _versions(published: Path) -> list[dict[str, Any]]:
    serving = current_version(published)
    found: list[dict[str, Any]] = []
    for name in reversed(version_names(published)):
        told = {"version": name, "current": name == serving}
        try:
            found.append({**told, **read_manifest(published / name).facts})
        except UserError as error:
            found.append({**told, "damaged": str(error)})
    return found


def _label(metric: str) -> str:
    return metric.replace("ndcg", "NDCG").replace("_", " ")
