"""Where a bundle came from: code, data, training window and measured quality, for its manifest."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from s2gr.database import database, one_file, one_row, sql
from s2gr.manifest import hash_files
from s2gr.params import Params
from s2gr.workspace import Workspace, read_json, readable_artefact

PACKAGE = Path(__file__).parents[1]
# Further ahead of the clock, a time is a sentinel (9999-12-31) or a wrong clock's: no log goes on until then.
AHEAD = timedelta(days=1)


def provenance(workspace: Workspace, params: Params) -> dict[str, Any]:
    """The facts about the artefacts in ``workspace``, which must have been evaluated."""
    data = [path.relative_to(workspace.root).as_posix() for path in sorted((workspace.root / "data").glob("*.parquet"))]
    created = datetime.now(UTC)
    return {
        "created": created.isoformat(timespec="seconds"),
        "commit": commit(),
        **training_window(workspace, params, created + AHEAD),
        "metrics": read_json(workspace.headline),
        "fusion": read_json(workspace.reasoner / "config.json")["fusion"],
        "data": hash_files(workspace.root, data),
    }


def training_window(workspace: Workspace, params: Params, until: datetime) -> dict[str, Any]:
    """``training`` and ``log``: how many events, and the times of the first one and of the last one ``until`` then."""
    readable_artefact(workspace.events, ["timestamp", "split"])
    with database(params.runtime, workspace.state) as connection:
        query = sql(__file__, "training_window.sql").format(events=one_file(workspace.events))
        row = one_row(connection, query, {"until": until})
    return {"training": _window(row, "training_"), "log": _window(row, "")}


def commit() -> str:
    """The commit of the code, with ``+`` where files differ from it; ``unknown`` outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(PACKAGE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _window(row: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    first, last = (row[f"{prefix}{end}"] for end in ("first", "last"))
    return {
        "events": row[f"{prefix}events"],
        "first": first.isoformat() if first else None,
        "last": last.isoformat() if last else None,
    }
