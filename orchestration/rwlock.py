"""Who writes a stage's outputs right now, as DVC notes it in `.dvc/tmp/rwlock`; read without DVC.

A DVC that was killed leaves its entries behind, and another process may have got its number since: after a power cut,
say. An entry counts while there is a process of its number that began before the file was last written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestration.processes import started
from s2gr.workspace import alive


def is_being_written(root: Path) -> bool:
    """Whether some DVC process runs a stage of the project in ``root``."""
    path = root / ".dvc/tmp/rwlock"
    try:
        noted, since = json.loads(path.read_text(encoding="utf-8")), path.stat().st_mtime
        writers: Mapping[str, Any] = noted.get("write", {})
        return any(_works(entry, since) for entry in writers.values())
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        # There is none, or it is in the middle of being written.
        return False


def _works(entry: Mapping[str, Any], since: float) -> bool:
    pid = int(entry["pid"])
    # The system tells its own start, and so a process's, to the second.
    return alive(pid) and started(pid) <= since + 1
