"""Who reads and writes a stage's files right now, as DVC notes it in `.dvc/tmp/rwlock`.

DVC removes an entry when it is done; one that was killed leaves its entries behind. As long as there is a process of
its number they hold, and after a power cut that may be any process. So an entry counts only if its process began before
the file was last written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestration.processes import started
from s2gr.workspace import alive, write_json

_EMPTY: Mapping[str, Any] = {"write": {}, "read": {}}


def is_being_written(root: Path) -> bool:
    """Whether some DVC process runs a stage of the project in ``root``."""
    held = _read(_path(root))[1]
    return any(alive(int(entry["pid"])) for entry in held["write"].values())


def drop_stale(root: Path) -> None:
    """Remove the entries that don't count, and what can't be read: DVC would wait for them, or fail each time."""
    path = _path(root)
    noted, held = _read(path)
    if noted == held:
        return
    # Only now: it takes its time, and is hardly ever needed.
    from dvc.config import Config
    from dvc.lock import LockError, make_lock

    hardlink = Config(str(root / ".dvc"))["core"]["hardlink_lock"]
    try:
        # What DVC holds while it edits the file, which may be empty just for that reason.
        with make_lock(f"{path}.lock", tmp_dir=str(path.parent), hardlink_lock=hardlink):
            write_json(_read(path)[1], path)
    except LockError:
        # It is being edited: DVC says itself what it thinks of it, and it is looked at again before the next attempt.
        return


def _path(root: Path) -> Path:
    return root / ".dvc/tmp/rwlock"


def _read(path: Path) -> tuple[Any, Mapping[str, Any]]:
    """What the file says, None if it can't be read; and what of it counts."""
    if not path.exists():
        return _EMPTY, _EMPTY
    try:
        noted = {**_EMPTY, **json.loads(path.read_text(encoding="utf-8"))}
        since = path.stat().st_mtime
        readers = {name: [one for one in entries if _counts(one, since)] for name, entries in noted["read"].items()}
        return noted, {
            "write": {name: entry for name, entry in noted["write"].items() if _counts(entry, since)},
            "read": {name: entries for name, entries in readers.items() if entries},
        }
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        # It is no JSON, or not what DVC writes.
        return None, _EMPTY


def _counts(entry: Mapping[str, Any], since: float) -> bool:
    # The system tells its own start, and so a process's, to the second.
    return started(int(entry["pid"])) <= since + 1
