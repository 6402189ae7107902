"""Has something landed that the event log does not hold yet? What the sensor `landing` asks.

Files are taken when they stood still between two looks: size, time of change and inode are as they were. Times are
compared with each other, never with the clock, so one that goes backwards or runs ahead does no harm. What lies there
is then told by content, as the stage `events` does it: a copy or a new name is nothing new.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from s2gr.events.ledger import ingested
from s2gr.params import Source
from s2gr.sources.folder import digest, identity, landed_files, snapshot, with_sidecars

# Seconds that one look may spend on reading files; it goes on at the next one.
_PATIENCE = 20.0


@dataclass(frozen=True)
class Look:
    """What a look at the folder found."""

    # For the next look.
    cursor: str
    # One key for what lies there beside what the log holds; None: there is nothing to do, or not yet.
    run_key: str | None
    reason: str


def look(source: Source, ledger: Path, cursor: str | None) -> Look:
    """Look at the folder, as ``cursor`` remembers it, beside the ``ledger`` of the log (`data/batches.parquet`)."""
    folder = source.path
    before: Mapping[str, list[int | str | None]] = json.loads(cursor) if cursor else {}
    paths = landed_files(source) if folder.is_dir() else []
    now = {str(path.relative_to(folder)): state for path, state in snapshot(with_sidecars(paths)).items()}
    files: dict[str, list[int | str | None]] = {}
    moved = [name for name in before if name not in now]
    for name, state in now.items():
        known = before.get(name)
        stood = known is not None and known[:3] == list(state)
        files[name] = [*state, known[3] if stood and known else None]
        if not stood:
            moved.append(name)
    if moved:
        told = ", ".join(sorted(moved)[:3])
        return Look(json.dumps(files), None, f"{told} came, changed or went: waiting until all stands still")
    if not files:
        return Look(json.dumps(files), None, f"nothing has landed in {folder}")
    started = time.monotonic()
    for name, entry in files.items():
        if entry[3] is None:
            if time.monotonic() - started > _PATIENCE:
                return Look(json.dumps(files), None, f"reading what landed; goes on with {name}")
            entry[3] = digest(folder / name)
    found = identity(str(entry[3]) for entry in files.values())
    held = ingested(ledger)
    if found == held:
        return Look(json.dumps(files), None, "the log holds all that landed")
    # With the making of the ledger in the key, a file that comes, goes and comes again is taken each time; one that
    # makes the run fail is not tried again and again.
    key = f"landing-{_made(ledger)}-{found[:12]}"
    return Look(json.dumps(files), key, f"{len(files)} files, and the log holds something else")


def _made(ledger: Path) -> str:
    """Tells this making of the ledger from an earlier one of the same content.

    A link into DVC's cache counts by its own time: the file behind it is as old as the content.
    """
    try:
        return str(ledger.lstat().st_ctime_ns)
    except FileNotFoundError:
        return "nothing"
