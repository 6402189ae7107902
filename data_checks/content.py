"""What is held about the content embeddings: the rows of ``content.parquet``, beside the catalogue."""

from __future__ import annotations

from pathlib import Path

from data_checks.result import Check, CheckResult
from data_checks.suite import Rule, validate_schema_first
from data_checks.vectors import vector_facts, vector_rules, vector_types
from s2gr.console import log
from s2gr.params import Params
from s2gr.workspace import Workspace, readable_artefact

_RULES: tuple[Rule, ...] = vector_rules("content", "content embeddings")

CHECKS: tuple[Check, ...] = tuple(entry.check for entry in _RULES)


def check(workspace_root: Path, params: Params | None = None) -> list[CheckResult]:
    """Hold the suite against ``data/content.parquet``.

    Returns: one result for each of :data:`CHECKS`, in their order.
    Raises: UserError: if one of the files is missing or damaged.
    """
    workspace = Workspace(workspace_root)
    types = vector_types(workspace.content)
    readable_artefact(workspace.items, ["item_id"])
    log.info("checks: content, %d expectations", len(CHECKS))
    return validate_schema_first(_RULES, types, lambda: vector_facts(workspace.content, workspace.items))
