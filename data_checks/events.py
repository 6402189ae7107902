"""What is held about the event log and its catalogue: the rows of ``events.parquet`` and ``items.parquet``, and the
whole-log invariants that one DuckDB aggregate turns into a row of facts."""

from __future__ import annotations

from pathlib import Path

from data_checks.inputs import Facts, column_types, fetch_facts, json_artefact, params_of, type_facts
from data_checks.result import Check, CheckResult
from data_checks.suite import (
    FACTS,
    Rule,
    between,
    frame_of,
    none_of,
    not_null,
    one_of,
    unique,
    unmeasured,
    validate,
)
from s2gr.console import log
from s2gr.database import database, literal, sql
from s2gr.params import Params
from s2gr.sequences import SPLITS
from s2gr.workspace import Workspace, read_table, readable_artefact

_TYPES = {
    "user_id": "string",
    "item_id": "string",
    "timestamp": "timestamp[us, tz=UTC]",
    "position": "int32",
    "split": "string",
}
_ITEM_TYPES = {"item_id": "string", "title": "string", "text": "string"}

# The share of rejected rows at which a log deserves a look; `events.max_rejected` refuses it.
_MAX_QUARANTINED = 0.01
# Above it, three of four steps within histories are ordered by the log alone, not by the clock (ML-100K: 0.51).
_MAX_TIED = 0.75
# Above it, recommending the most popular hundredth of the catalogue to everybody is hard to beat.
_MAX_POPULAR = 0.3


def _rules(k_core: int) -> tuple[Rule, ...]:
    return (
        *(
            one_of(
                f"events_{column}_type",
                "critical",
                f"Every later stage reads `{column}` of the log as {kind}.",
                FACTS,
                f"{column}_type",
                [kind],
            )
            for column, kind in _TYPES.items()
        ),
        *(
            one_of(
                f"items_{column}_type",
                "critical",
                f"Content and reports read `{column}` of the catalogue as {kind}.",
                FACTS,
                f"items_{column}_type",
                [kind],
            )
            for column, kind in _ITEM_TYPES.items()
        ),
        *(
            not_null(
                f"events_{column}_present",
                "critical",
                f"An event without `{column}` belongs to no history; it should be in quarantine.",
                "events",
                column,
            )
            for column in _TYPES
        ),
        one_of(
            "events_split_known",
            "critical",
            "A row of an unknown split is neither learned from nor tested on.",
            "events",
            "split",
            SPLITS,
        ),
        *(
            not_null(
                f"items_{column}_present",
                "critical",
                f"Every item of the catalogue needs its `{column}`: its embedding and its name come from it.",
                "items",
                column,
            )
            for column in _ITEM_TYPES
        ),
        unique("items_unique", "critical", "An item listed twice would get two semantic IDs.", "items", "item_id"),
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
        none_of(
            "items_have_events",
            "critical",
            "An item that nobody met is not part of the catalogue that is ranked.",
            "items_without_events",
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
            "A timestamp more than a day ahead of this machine's clock is a wrong unit or a wrong clock.",
            "future_events",
        ),
        none_of(
            "no_ancient_events",
            "warning",
            "A timestamp before 1990 is mostly milliseconds read as seconds, or a missing value read as 0.",
            "ancient_events",
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
    """Hold the suite against ``data/events.parquet``, ``items.parquet`` and ``quarantine.parquet``.

    ``reports/events.json`` says how many events landed.

    Args:
        workspace_root: the folder of the artefacts.
        params: what the log was made with; by default the ``params.yaml`` of the workspace.
    Returns: one result for each of :data:`CHECKS`, in their order.
    Raises: UserError: if one of the files is missing or damaged.
    """
    params = params or params_of(workspace_root)
    workspace = Workspace(workspace_root)
    rules = _rules(params.events.k_core)
    types = type_facts(column_types(workspace.events), _TYPES)
    types |= {f"items_{name}": kind for name, kind in type_facts(column_types(workspace.items), _ITEM_TYPES).items()}
    readable_artefact(workspace.quarantine, ["reason"])
    landed = json_artefact(workspace.report("events"), "events", ["landed"])["landed"]
    log.info("checks: events, %d expectations", len(rules))

    schema = [entry for entry in rules if entry.arguments["column"] in types]
    results = validate(schema, {FACTS: frame_of(types)})
    rest = [entry for entry in rules if entry not in schema]
    wrong = [result.name for result in results if not result.passed]
    if wrong:
        # SQL over columns that are missing or of another type would only fail in less readable ways.
        return results + unmeasured(rest, f"the schema is broken ({', '.join(wrong)})")
    batches = {
        FACTS: frame_of(_facts(workspace, params, landed)),
        "events": read_table(workspace.events, list(_TYPES)).to_pandas(),
        "items": read_table(workspace.items, list(_ITEM_TYPES)).to_pandas(),
    }
    return results + validate(rest, batches)


def _facts(workspace: Workspace, params: Params, landed: int) -> Facts:
    with database(params.runtime, workspace.state) as connection:
        connection.execute(
            f"""
            CREATE VIEW events AS
                SELECT *, file_row_number AS row FROM read_parquet({literal(workspace.events)}, file_row_number = true);
            CREATE VIEW items AS FROM read_parquet({literal(workspace.items)});
            CREATE VIEW quarantine AS FROM read_parquet({literal(workspace.quarantine)});
            """
        )
        return fetch_facts(connection, sql(__file__, "events.sql"), {"landed": landed, "split": params.events.split})
