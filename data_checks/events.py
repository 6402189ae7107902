"""What is held about the event log: one DuckDB aggregate turns ``events.parquet`` into a row of facts, whatever its
size, and ``batches.parquet`` says what became of the files that it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data_checks.inputs import Facts, column_types, fetch_facts, type_facts
from data_checks.result import Check, CheckResult
from data_checks.suite import Rule, between, none_of, type_rules, validate_schema_first
from s2gr.console import log
from s2gr.database import database, one_file, sql
from s2gr.made_with import params_of
from s2gr.params import Params
from s2gr.publish.provenance import AHEAD
from s2gr.sequences import SPLITS
from s2gr.sources.folder import digest, landed_files
from s2gr.workspace import Workspace, read_table, readable_artefact

_TYPES = {
    "user_id": "string",
    "item_id": "string",
    "timestamp": "timestamp[us, tz=UTC]",
    "position": "int32",
    "split": "string",
}

# The share of rejected rows at which a log deserves a look; `events.max_rejected` refuses it.
_MAX_QUARANTINED = 0.01
# Of what landed, in refused files: above it, the log is not that of the landing folder.
_MAX_REFUSED = 0.5
# Above it, three of four steps within histories are ordered by the log alone, not by the clock (ML-100K: 0.51).
_MAX_TIED = 0.75
# Above it, recommending the most popular hundredth of the catalogue to everybody is hard to beat.
_MAX_POPULAR = 0.3


def _rules(k_core: int) -> tuple[Rule, ...]:
    return (
        *type_rules("events", "Every later stage reads `{column}` of the log as {kind}.", _TYPES),
        *(
            none_of(
                f"events_{column}_present",
                "critical",
                f"An event without `{column}` belongs to no history; it should be in quarantine.",
                f"null_{column}",
            )
            for column in _TYPES
        ),
        none_of(
            "events_split_known",
            "critical",
            "A row of an unknown split is neither learned from nor tested on.",
            "unknown_splits",
        ),
        between("events_not_empty", "critical", "Without events there is nothing to learn.", "events", low=1),
        none_of(
            "positions_gapless",
            "critical",
            "Positions 0, 1, 2, … of each user are the total order that splits and histories rest on.",
            "position_gaps",
        ),
        none_of(
            "time_follows_position",
            "critical",
            "An event placed before an earlier one would let a history look into the future.",
            "backward_steps",
        ),
        none_of(
            "rows_sorted",
            "critical",
            "The stages cut histories out of the file by its order: user_id, position.",
            "misplaced_rows",
        ),
        none_of(
            "split_sound",
            "critical",
            "Leave-one-out: exactly the last event of a user is its test, the one before its validation target; "
            "temporal: the parts follow each other. Anything else leaks test events into training.",
            "wrong_splits",
        ),
        none_of(
            "events_items_known",
            "critical",
            "An event of an item outside the catalogue has no embedding and no semantic ID.",
            "unknown_item_events",
        ),
        between(
            "users_in_k_core",
            "critical",
            "The k-core filter promises `events.k_core` events a user; fewer means that filtering stopped too early.",
            "fewest_user_events",
            low=k_core,
        ),
        between(
            "items_in_k_core",
            "critical",
            "The k-core filter promises `events.k_core` events an item; fewer means that filtering stopped too early.",
            "fewest_item_events",
            low=k_core,
        ),
        none_of(
            "no_future_events",
            "warning",
            "A timestamp more than a day ahead of this machine's clock is a wrong unit, a wrong clock, or stands for "
            "none (9999-12-31). Drift and the gate leave such events out, and are blind if all new ones are like that: "
            "correct the file that brought them.",
            "future_events",
        ),
        none_of(
            "no_ancient_events",
            "warning",
            "A timestamp before 1990 is mostly milliseconds read as seconds, or a missing value read as 0.",
            "ancient_events",
        ),
        none_of(
            "batches_admitted",
            "warning",
            "A refused file is missing in the log; its reason says whether to send it again, to map its columns or to "
            "move it away.",
            "refused_files",
        ),
        between(
            "most_landed_admitted",
            "critical",
            "A model would be trained on what little is left: correct the refused file and let it land again, or move "
            "it out of the landing folder if it is meant to be left out.",
            "refused_share",
            high=_MAX_REFUSED,
        ),
        none_of(
            "landed_files_read",
            "warning",
            "A file that landed while the log was made, or since, is not in it: run the stage `events` again "
            "(`dvc repro --force events` if DVC takes it for up to date).",
            "unread_files",
        ),
        between(
            "few_quarantined",
            "warning",
            "Many rejected rows mean that the source has changed its format.",
            "quarantined_share",
            high=_MAX_QUARANTINED,
        ),
        between(
            "few_ties",
            "warning",
            "Where nearly all events share the time of the one before, the order within a history is arbitrary, "
            "and metrics move with it.",
            "tied_share",
            high=_MAX_TIED,
        ),
        between(
            "popularity_spread",
            "warning",
            "If a hundredth of the items has most of the events, popularity alone scores well and figures mislead.",
            "popular_share",
            high=_MAX_POPULAR,
        ),
    )


CHECKS: tuple[Check, ...] = tuple(entry.check for entry in _rules(Params().events.k_core))


def check(workspace_root: Path, params: Params | None = None) -> list[CheckResult]:
    """Hold the suite against ``data/events.parquet``, beside the catalogue and what became of the landed files.

    Args:
        workspace_root: the folder of the artefacts.
        params: what the log was made with; by default what the workspace tells of that.
    Returns: one result for each of :data:`CHECKS`, in their order.
    Raises: UserError: if one of the files is missing or damaged.
    """
    workspace = Workspace(workspace_root)
    params = params or params_of(workspace)
    rules = _rules(params.events.k_core)
    types = type_facts(column_types(workspace.events), _TYPES)
    readable_artefact(workspace.items, ["item_id"])
    readable_artefact(
        workspace.batches, ["file", "batch", "role", "status", "reason", "failed_checks", "rows", "rejected"]
    )
    log.info("checks: events, %d expectations", len(rules))
    return validate_schema_first(rules, types, lambda: _facts(workspace, params) | _landing(workspace, params))


def _facts(workspace: Workspace, params: Params) -> Facts:
    with database(params.runtime, workspace.state) as connection:
        connection.execute(
            f"""
            CREATE VIEW events AS
                SELECT *, file_row_number AS row
                FROM read_parquet({one_file(workspace.events)}, file_row_number = true);
            CREATE VIEW items AS FROM read_parquet({one_file(workspace.items)});
            CREATE VIEW batches AS FROM read_parquet({one_file(workspace.batches)});
            """
        )
        told = {"split": params.events.split, "known": list(SPLITS), "until": datetime.now(UTC) + AHEAD}
        return fetch_facts(connection, sql(__file__, "events.sql"), told)


def _landing(workspace: Workspace, params: Params) -> Facts:
    """Files in the landing folder whose content the log has not seen, and how much of it lies in refused files."""
    files = read_table(workspace.batches, ["batch", "role", "status", "failed_checks", "rows"]).to_pylist()
    folder = workspace.root / params.source.path
    refused = _refused_share(files, {})
    if params.source.kind != "files":
        return {"unread_files": 0, "refused_share": refused}
    if not folder.is_dir():
        missing = f"{folder} is not a folder"
        return {"unread_files": None, "unread_files_examples": [missing], "refused_share": refused}
    landed = {path: digest(path) for path in landed_files(params.source.model_copy(update={"path": folder}))}
    known = {file["batch"] for file in files}
    names = [path.relative_to(folder).as_posix() for path, content in landed.items() if content not in known]
    sizes = {content: path.stat().st_size for path, content in landed.items()}
    return {
        "unread_files": len(names),
        "unread_files_examples": names[:5],
        "refused_share": _refused_share(files, sizes),
    }


def _refused_share(files: Sequence[Mapping[str, Any]], sizes: Mapping[str, int]) -> float:
    """The share of the landed interactions that lies in refused files.

    By rows; the rows of an unreadable file, of interactions or not, are estimated from its size.

    Args:
        files: rows of ``batches.parquet``.
        sizes: bytes of the files that lie there still, by SHA-256.
    """
    counted = [file for file in files if file["role"] == "interactions" and file["rows"] is not None]
    measured = [file for file in counted if file["batch"] in sizes]
    rows_a_byte = sum(file["rows"] for file in measured) / max(1, sum(sizes[file["batch"]] for file in measured))
    unreadable = [
        sizes.get(file["batch"], 0) * rows_a_byte
        for file in files
        if file["status"] == "refused" and file["role"] != "items" and "batch_readable" in file["failed_checks"]
    ]
    refused = sum(unreadable) + sum(file["rows"] for file in counted if file["status"] == "refused")
    return float(refused / max(1.0, sum(unreadable) + sum(file["rows"] for file in counted)))
