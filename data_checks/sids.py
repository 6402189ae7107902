"""What is held about the semantic IDs: the rows of ``sids.parquet``, and what one DuckDB aggregate says about all of
them beside the catalogue and the log."""

from __future__ import annotations

from pathlib import Path

from data_checks.inputs import Facts, column_types, fetch_facts, json_artefact
from data_checks.result import Check, CheckResult
from data_checks.suite import FACTS, Rule, between, frame_of, none_of, not_null, one_of, unmeasured, validate
from s2gr.console import log
from s2gr.database import database, one_file, sql
from s2gr.made_with import params_of
from s2gr.params import Params
from s2gr.workspace import Workspace, read_table, readable_artefact

# Of the codes that a level could use; the paper reports 0.99 and a plain RQ-VAE reaches 0.96.
_MIN_UTILISATION = 0.8
# Times the fair share of the items (the mean first code), and share of all events.
_MAX_ITEM_CROWDING = 8.0
_MAX_EVENT_CROWDING = 0.25

_SCHEMA = (
    one_of(
        "sids_columns",
        "critical",
        "A semantic ID is item_id, code_1, …, code_L with as many levels as the codebook; readers count the columns.",
        FACTS,
        "columns",
        ["as the codebook"],
    ),
    one_of(
        "sids_types",
        "critical",
        "Readers take item_id as string and codes as int32, the rows of the code vectors.",
        FACTS,
        "types",
        ["string, int32"],
    ),
)

_RULES: tuple[Rule, ...] = (
    not_null("sids_item_present", "critical", "A semantic ID without an item recommends nothing.", "sids", "item_id"),
    between("sids_not_empty", "critical", "Without semantic IDs there is nothing to decode.", "sids", low=1),
    none_of(
        "sids_unique",
        "critical",
        "Two items with one semantic ID can't be told apart: a hit would be counted for both.",
        "shared_sids",
    ),
    none_of("items_sid_once", "critical", "An item with two semantic IDs competes with itself.", "repeated_items"),
    none_of(
        "items_have_sid",
        "critical",
        "An item without a semantic ID can be neither read from a history nor recommended.",
        "items_without_sid",
    ),
    none_of(
        "sids_have_item",
        "critical",
        "A semantic ID of an item outside the catalogue would be recommended and can't be shown.",
        "sids_without_item",
    ),
    none_of(
        "sids_in_catalogue_order",
        "critical",
        "Later stages go from an item to its codes by the row in items.parquet.",
        "misplaced_rows",
    ),
    none_of(
        "codes_in_range",
        "critical",
        "A code outside [0, K) has no code vector.",
        "codes_out_of_range",
    ),
    between(
        "codes_used",
        "warning",
        "A level that leaves many of its codes unused has collapsed, and the other codes must tell more items apart. A "
        "small catalogue leaves nothing over for the later levels: lower codebook.codes.",
        "lowest_utilisation",
        low=_MIN_UTILISATION,
    ),
    between(
        "items_spread",
        "warning",
        "A first code with many times its fair share of the items leaves the work to the levels below it.",
        "item_crowding",
        high=_MAX_ITEM_CROWDING,
    ),
    between(
        "events_spread",
        "warning",
        "A first code that holds much of all events is an easy guess: the first step of the decoder learns little.",
        "event_crowding",
        high=_MAX_EVENT_CROWDING,
    ),
)

CHECKS: tuple[Check, ...] = tuple(entry.check for entry in _SCHEMA + _RULES)


def check(workspace_root: Path, params: Params | None = None, events: Path | None = None) -> list[CheckResult]:
    """Hold the suite against ``data/sids.parquet``, beside the catalogue, the log and the codebook's configuration.

    Args:
        workspace_root: the folder of the artefacts, or a bundle.
        events: the log; a bundle has it elsewhere than a work folder.
    Returns: one result for each of :data:`CHECKS`, in their order.
    Raises: UserError: if one of the files is missing or damaged.
    """
    workspace = Workspace(workspace_root)
    params = params or params_of(workspace)
    codebook = json_artefact(workspace.codebook / "config.json", "codebook", ["codes", "levels"])
    types = column_types(workspace.sids)
    readable_artefact(workspace.items, ["item_id"])
    events = readable_artefact(events or workspace.events, ["user_id", "item_id"])
    log.info("checks: sids, %d expectations", len(CHECKS))

    expected = ["item_id", *(f"code_{level}" for level in range(1, codebook["levels"] + 1))]
    code_types = sorted({kind for column, kind in types.items() if column.startswith("code_")})
    schema = {
        "columns": "as the codebook" if list(types) == expected else ", ".join(types),
        "types": ", ".join([types.get("item_id", "missing"), *code_types]),
    }
    results = validate(_SCHEMA, {FACTS: frame_of(schema)})
    wrong = [result.name for result in results if not result.passed]
    if wrong:
        return results + unmeasured(_RULES, f"the schema is broken ({', '.join(wrong)})")
    facts = _facts(workspace, events, params, codebook["codes"], expected[1:])
    batches = {FACTS: frame_of(facts), "sids": read_table(workspace.sids, expected).to_pandas()}
    return results + validate(_RULES, batches)


def _facts(workspace: Workspace, events: Path, params: Params, codes: int, columns: list[str]) -> Facts:
    with database(params.runtime, workspace.state) as connection:
        connection.execute(
            f"""
            CREATE VIEW sids AS SELECT item_id, list_value({", ".join(columns)}) AS codes, file_row_number AS row
                FROM read_parquet({one_file(workspace.sids)}, file_row_number = true);
            CREATE VIEW items AS SELECT item_id, file_row_number AS row
                FROM read_parquet({one_file(workspace.items)}, file_row_number = true);
            CREATE VIEW events AS FROM read_parquet({one_file(events)});
            """
        )
        return fetch_facts(connection, sql(__file__, "sids.sql"), {"codes": codes})
