"""What is held about the recommendations of every user, ``recommendations.parquet``, beside catalogue and log."""

from __future__ import annotations

from pathlib import Path

from data_checks.inputs import Facts, column_types, fetch_facts, type_facts
from data_checks.result import Check, CheckResult
from data_checks.suite import Rule, between, none_of, type_rules, validate_schema_first
from s2gr.console import log
from s2gr.database import database, one_file, sql
from s2gr.made_with import params_of
from s2gr.params import Params
from s2gr.workspace import Workspace, readable_artefact

_TYPES = {"user_id": "string", "rank": "int32", "item_id": "string", "score": "float"}

# The share of users with fewer than k items, and of those whose first item is the same.
_MAX_SHORT = 0.01
_MAX_FAVOURITE = 0.5

_RULES: tuple[Rule, ...] = (
    *type_rules("recommendations", "Whoever takes the recommendations reads `{column}` as {kind}.", _TYPES),
    between("recommendations_not_empty", "critical", "Without rows nobody is recommended anything.", "rows", low=1),
    none_of(
        "recommendations_sorted",
        "critical",
        "Readers cut the lists out of the file by its order: user_id, rank.",
        "misplaced_recommendations",
    ),
    none_of(
        "ranks_gapless",
        "critical",
        "Each list is ranked 1, 2, … up to recommendations.k at most: a gap is an item that was lost.",
        "wrong_ranks",
    ),
    none_of("recommended_once", "critical", "An item twice in one list wastes a place.", "repeated_recommendations"),
    none_of(
        "recommended_items_known",
        "critical",
        "An item outside the catalogue can't be shown.",
        "unknown_recommended",
    ),
    none_of(
        "recommended_unseen",
        "critical",
        "recommendations.exclude_seen promises items that the user has not met.",
        "seen_recommended",
    ),
    none_of(
        "recommended_to_known_users", "critical", "A list of a user outside the log comes from nowhere.", "strangers"
    ),
    none_of("users_served", "critical", "Every user of the log gets a list.", "users_forgotten"),
    none_of("scores_finite", "critical", "A score that is not finite ranks nothing.", "scores_not_finite"),
    none_of("scores_fall", "critical", "The order of a list is that of its scores.", "rising_scores"),
    between(
        "lists_full",
        "warning",
        "A shorter list means that filters left fewer than recommendations.k items, or that the beam is too narrow.",
        "short_lists",
        high=_MAX_SHORT,
    ),
    between(
        "lists_differ",
        "warning",
        "If most lists begin with one item, the model has collapsed to popularity: look at the evaluation before "
        "they are sent.",
        "favourite_share",
        high=_MAX_FAVOURITE,
    ),
)

CHECKS: tuple[Check, ...] = tuple(entry.check for entry in _RULES)


def check(workspace_root: Path, params: Params | None = None) -> list[CheckResult]:
    """Hold the suite against ``data/recommendations.parquet``.

    Returns: one result for each of :data:`CHECKS`, in their order.
    Raises: UserError: if one of the files is missing or damaged.
    """
    workspace = Workspace(workspace_root)
    params = params or params_of(workspace)
    types = type_facts(column_types(workspace.recommendations), _TYPES)
    readable_artefact(workspace.events, ["user_id", "item_id"])
    readable_artefact(workspace.items, ["item_id"])
    log.info("checks: recommendations, %d expectations", len(CHECKS))
    return validate_schema_first(_RULES, types, lambda: _facts(workspace, params))


def _facts(workspace: Workspace, params: Params) -> Facts:
    with database(params.runtime, workspace.state) as connection:
        connection.execute(
            f"""
            CREATE VIEW recommendations AS SELECT *, file_row_number AS row
                FROM read_parquet({one_file(workspace.recommendations)}, file_row_number = true);
            CREATE VIEW items AS FROM read_parquet({one_file(workspace.items)});
            CREATE VIEW events AS FROM read_parquet({one_file(workspace.events)});
            """
        )
        asked = {"k": params.recommendations.k, "exclude_seen": params.recommendations.exclude_seen}
        return fetch_facts(connection, sql(__file__, "recommendations.sql"), asked)
