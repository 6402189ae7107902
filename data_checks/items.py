"""What is held about the catalogue: the rows of ``items.parquet``, beside the log whose items they are."""

from __future__ import annotations

from pathlib import Path

from data_checks.inputs import Facts, column_types, fetch_facts, json_artefact, type_facts
from data_checks.result import Check, CheckResult
from data_checks.suite import Rule, between, none_of, type_rules, validate_schema_first
from s2gr.console import log
from s2gr.database import database, one_file, sql
from s2gr.made_with import params_of
from s2gr.params import Params
from s2gr.workspace import Workspace, readable_artefact

_TYPES = {"item_id": "string", "title": "string", "text": "string"}

# Shares of the items above which content says little of what tells items apart.
_MAX_WITHOUT_TEXT = 0.2
_MAX_SAME_TEXT = 0.2

_RULES: tuple[Rule, ...] = (
    *type_rules("items", "Content and reports read `{column}` of the catalogue as {kind}.", _TYPES),
    between("items_not_empty", "critical", "Without items there is nothing to recommend.", "items", low=1),
    *(
        none_of(
            f"items_{column}_present",
            "critical",
            f"Every item of the catalogue needs its `{column}`: its embedding and its name come from it.",
            f"null_{column}",
        )
        for column in _TYPES
    ),
    none_of("items_unique", "critical", "An item listed twice would get two semantic IDs.", "repeated_items"),
    none_of(
        "items_sorted",
        "critical",
        "Later stages take an item for its row in this file, and look rows up by the order of the ids.",
        "misplaced_items",
    ),
    none_of(
        "items_have_events",
        "critical",
        "An item that nobody met is not part of the catalogue that is ranked.",
        "items_without_events",
    ),
    between(
        "items_described",
        "warning",
        "An item without text has no content, and its semantic ID follows from co-occurrence alone: see whether the "
        "items files landed, and whether source.item_columns name their text.",
        "without_text",
        high=_MAX_WITHOUT_TEXT,
    ),
    between(
        "items_told_apart",
        "warning",
        "Items with one text between them have one content embedding: a template, or a default where text is missing.",
        "same_text",
        high=_MAX_SAME_TEXT,
    ),
    none_of(
        "items_agree",
        "warning",
        "Where two files describe an item differently and no time tells which is newer, the larger file counts: name a "
        "column in source.item_columns.updated, or remove the older file.",
        "items_disagreeing",
    ),
)

CHECKS: tuple[Check, ...] = tuple(entry.check for entry in _RULES)


def check(workspace_root: Path, params: Params | None = None) -> list[CheckResult]:
    """Hold the suite against ``data/items.parquet``, beside the log and the report of the stage that made both.

    Returns: one result for each of :data:`CHECKS`, in their order.
    Raises: UserError: if one of the files is missing or damaged.
    """
    workspace = Workspace(workspace_root)
    params = params or params_of(workspace)
    types = type_facts(column_types(workspace.items), _TYPES)
    readable_artefact(workspace.events, ["item_id"])
    told = json_artefact(workspace.report("events"), "events", ["items_disagreeing"])
    disagreeing: Facts = {"items_disagreeing": told["items_disagreeing"]}
    log.info("checks: items, %d expectations", len(CHECKS))
    return validate_schema_first(_RULES, types, lambda: _facts(workspace, params) | disagreeing)


def _facts(workspace: Workspace, params: Params) -> Facts:
    with database(params.runtime, workspace.state) as connection:
        connection.execute(
            f"""
            CREATE VIEW items AS
                SELECT *, file_row_number AS row FROM read_parquet({one_file(workspace.items)}, file_row_number = true);
            CREATE VIEW events AS FROM read_parquet({one_file(workspace.events)});
            """
        )
        return fetch_facts(connection, sql(__file__, "items.sql"), {})
