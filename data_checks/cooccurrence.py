"""What is held about co-occurrence: the pairs in ``cooccurrence.parquet`` beside the training part of the log, and the
vectors that were aligned with them, ``aligned.parquet``."""

from __future__ import annotations

from pathlib import Path

from data_checks.inputs import Facts, column_types, fetch_facts, type_facts
from data_checks.result import Check, CheckResult
from data_checks.suite import Rule, between, none_of, type_rules, validate_schema_first
from data_checks.vectors import vector_facts, vector_rules, vector_types
from s2gr.console import log
from s2gr.database import database, one_file, sql
from s2gr.made_with import params_of
from s2gr.params import Params
from s2gr.workspace import Workspace, readable_artefact

_TYPES = {"item_a": "string", "item_b": "string", "count": "int64"}

# The share of items without a pair above which alignment leaves most of the catalogue where it was.
_MAX_WITHOUT_PAIR = 0.5

_RULES: tuple[Rule, ...] = (
    *type_rules("pairs", "The graph is built from `{column}` as {kind}.", _TYPES),
    none_of("pairs_known", "critical", "An item outside the catalogue has no vector to align.", "unknown_pairs"),
    none_of(
        "pairs_ordered_and_unique",
        "critical",
        "Each pair stands once, its items in the catalogue's order and the pairs in theirs: listed twice, it counts "
        "double.",
        "misplaced_pairs",
    ),
    none_of("pairs_counted", "critical", "A pair that occurred less than once is no pair.", "low_counts"),
    none_of(
        "pairs_met_in_training",
        "critical",
        "A pair with an item that no training event has comes from the validation or the test part: every figure "
        "downstream would be flattered.",
        "untrained_pairs",
    ),
    none_of(
        "pairs_fit_the_training_part",
        "critical",
        "More occurrences than the windows of the training histories hold come from elsewhere: from validation or test "
        "events, or from another log.",
        "surplus_occurrences",
    ),
    between(
        "items_paired",
        "warning",
        "An item without a pair keeps its content embedding: with many of them behaviour has little say in the "
        "semantic IDs.",
        "without_pair",
        high=_MAX_WITHOUT_PAIR,
    ),
    *vector_rules("aligned", "aligned embeddings"),
)

CHECKS: tuple[Check, ...] = tuple(entry.check for entry in _RULES)


def check(workspace_root: Path, params: Params | None = None) -> list[CheckResult]:
    """Hold the suite against ``data/cooccurrence.parquet`` and ``aligned.parquet``, beside the log and the catalogue.

    Returns: one result for each of :data:`CHECKS`, in their order.
    Raises: UserError: if one of the files is missing or damaged.
    """
    workspace = Workspace(workspace_root)
    params = params or params_of(workspace)
    types = type_facts(column_types(workspace.cooccurrence), _TYPES) | vector_types(workspace.aligned)
    readable_artefact(workspace.events, ["user_id", "item_id", "split"])
    readable_artefact(workspace.items, ["item_id"])
    log.info("checks: cooccurrence, %d expectations", len(CHECKS))
    return validate_schema_first(
        _RULES, types, lambda: _facts(workspace, params) | vector_facts(workspace.aligned, workspace.items)
    )


def _facts(workspace: Workspace, params: Params) -> Facts:
    with database(params.runtime, workspace.state) as connection:
        connection.execute(
            f"""
            CREATE VIEW pairs AS SELECT *, file_row_number AS row
                FROM read_parquet({one_file(workspace.cooccurrence)}, file_row_number = true);
            CREATE VIEW items AS FROM read_parquet({one_file(workspace.items)});
            CREATE VIEW events AS FROM read_parquet({one_file(workspace.events)});
            """
        )
        return fetch_facts(connection, sql(__file__, "cooccurrence.sql"), {"window": params.cooccurrence.window})
