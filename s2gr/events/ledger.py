"""What became of every landed file: ``data/batches.parquet``, a row a file, and its summary in the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from s2gr.workspace import write_table

# `copy`: its content has landed under another name, too. `ignored`: nobody asked for it.
Status = Literal["admitted", "refused", "copy", "ignored"]

# Refused files that the report names; all of them stand in the ledger.
_TOLD = 20
_LANDING = "landing"
_SCHEMA = pa.schema(
    {
        "file": pa.string(),
        "batch": pa.string(),
        "role": pa.string(),
        "status": pa.string(),
        "reason": pa.string(),
        "failed_checks": pa.list_(pa.string()),
        "rows": pa.int64(),
        "rejected": pa.int64(),
        "repeated": pa.int64(),
        "first_timestamp": pa.timestamp("us", "UTC"),
        "last_timestamp": pa.timestamp("us", "UTC"),
    }
)


@dataclass
class Entry:
    """One landed file."""

    file: str
    # SHA-256 of the file.
    batch: str
    role: str | None
    status: Status
    # Why it was not admitted, in one line.
    reason: str | None = None
    # Names of the batch suite's expectations (data_checks/batches.py) that it broke.
    failed_checks: list[str] = field(default_factory=list)
    rows: int | None = None
    # Rows in quarantine, by reason.
    rejected: dict[str, int] = field(default_factory=dict)
    # Sound events that another admitted file has brought before it.
    repeated: int | None = None
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None


def write_ledger(entries: Sequence[Entry], landing: str, path: Path) -> None:
    """``landing``, the identity of all that lay there, goes into the footer of the file."""
    rows = [
        {**asdict(entry), "rejected": None if entry.rows is None else sum(entry.rejected.values())} for entry in entries
    ]
    table = pa.Table.from_pylist(sorted(rows, key=lambda row: row["file"]), _SCHEMA)
    write_table(table.replace_schema_metadata({_LANDING: landing}), path)


def ingested(path: Path) -> str | None:
    """The identity of what lay in the landing folder when the log was made; None: there is no log, or it is damaged."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return None
    found: bytes | None = metadata.get(_LANDING.encode())
    return found.decode() if found else None


def summary(entries: Sequence[Entry]) -> dict[str, Any]:
    """For ``reports/events.json``; counts of rows are those of admitted files."""
    admitted = [entry for entry in entries if entry.status == "admitted"]
    refused = sorted((entry for entry in entries if entry.status == "refused"), key=lambda entry: entry.file)
    by_reason: dict[str, int] = {}
    for entry in admitted:
        for reason, count in entry.rejected.items():
            by_reason[reason] = by_reason.get(reason, 0) + count
    return {
        "landed": sum(entry.rows or 0 for entry in admitted if entry.role == "interactions"),
        "rejected": {"total": sum(by_reason.values()), **by_reason},
        "repeated": sum(entry.repeated or 0 for entry in admitted),
        "batches": {
            "admitted": len(admitted),
            "refused": len(refused),
            "copies": sum(entry.status == "copy" for entry in entries),
        },
        "refused": [{"file": entry.file, "batch": entry.batch, "reason": entry.reason} for entry in refused[:_TOLD]],
    }
