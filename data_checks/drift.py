"""Has the world moved away from what the published model was trained on? Six signals.

Reference: the log that the published model was made from; current: what has happened since
(:mod:`data_checks.windows`). The codes of each level, their (code 1, code 2) prefix and the share of events without a
semantic ID are counted in DuckDB and held against what chance gives (:mod:`data_checks.psi`); new items are held
against the frozen codebook (:mod:`data_checks.new_items`); the model is asked about the newest events
(:mod:`data_checks.model_signals`). When a move is an alarm, and when merely a move, says :mod:`data_checks.signals`.

While nothing is published, the newest events of the workspace are compared with the training events before them, by
the first three signals.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from data_checks import distributions, report, windows
from data_checks.inputs import Facts
from data_checks.result import Check, CheckResult, Metadata
from data_checks.signals import NotMeasured, Signal, result
from s2gr.database import database
from s2gr.errors import UserError
from s2gr.made_with import params_of
from s2gr.params import Params
from s2gr.publish.versions import current_bundle, current_version
from s2gr.workspace import Workspace, write_json

CODES = Check(
    "sid_codes_drift",
    "warning",
    "If the codes of the newest events are spread otherwise than in training, the codebook and the reasoner speak of "
    "yesterday's tastes: retrain.",
)
PREFIX = Check(
    "sid_prefix_drift",
    "warning",
    "The pair (code 1, code 2) decides most of an item: it can drift where each of the two codes alone does not.",
)
WITHOUT_SID = Check(
    "events_without_sid",
    "warning",
    "An event on an item without a semantic ID is lost to the model, as history and as target: assign IDs or retrain.",
)
NEW_ITEMS = Check(
    "new_items_drift",
    "warning",
    "New items that the frozen codebook describes badly get codes that mean something else: train the codebook anew.",
)
THINKING = Check(
    "thinking_drift",
    "warning",
    "If the thoughts are less sure of the cluster of the code to come, or suddenly surer, histories are not what they "
    "were when the model learned to read them.",
)
RECALL = Check(
    "recall_drift",
    "warning",
    "That fewer users take what is recommended than when the model was made is what all other signals only hint at.",
)

CHECKS: tuple[Check, ...] = (CODES, PREFIX, WITHOUT_SID, NEW_ITEMS, THINKING, RECALL)

SIDES = ("reference", "current")
# Windows whose pages are kept; a page has some MB.
_PAGES = 20

Signals = list[Signal] | NotMeasured

_UNPUBLISHED = NotMeasured("nothing is published yet; `s2gr publish` a model")


def check(workspace_root: Path, params: Params | None = None, current: Path | None = None) -> list[CheckResult]:
    """Measure all signals; write ``reports/drift/<window>/``: Evidently's page and JSON, and ``drift.json``.

    Args:
        workspace_root: the folder of the artefacts.
        params: by default what the workspace was made with.
        current: a file of events, in the place of what the workspace's log has since the model was published.
    Returns: one result for each of :data:`CHECKS`, in their order.
    Raises: UserError: if a file is missing or damaged.
    """
    workspace = Workspace(workspace_root)
    params = params or params_of(workspace)
    bundle = Workspace(current_bundle(workspace.published)) if current_version(workspace.published) else None
    version = "unpublished" if bundle is None else bundle.root.name
    if current is not None and bundle is None:
        raise UserError(
            f"nothing is published in {workspace.published}, so {current} can't be newer than it; `s2gr publish` first"
        )
    if bundle is None and not workspace.sids.exists():
        return [result(entry, _UNPUBLISHED, {"published": version}) for entry in CHECKS]
    with database(params.runtime, workspace.state) as connection:
        windows.create(connection, workspace, bundle, current, params)
        facts = windows.describe(connection)
        if current is not None and (cut := windows.cut(connection)):
            counted = "the file and the log" if workspace.events.exists() else "the file alone, as there is no log here"
            facts["cut"] = f"{cut:,} events on unknown items with fewer than {params.events.k_core} in {counted}"
        shared: Metadata = {"published": version, **facts}
        if not facts["reference_events"] or not facts["current_events"]:
            return [result(entry, _nothing_since(facts), shared) for entry in CHECKS]
        signals = _measure(connection, workspace, bundle, version, facts, params)
        folder = workspace.root / "reports/drift" / f"{version}-{_day(facts['current_to'])}"
        shared |= _report(connection, folder, signals, facts, params)
    results = [result(entry, signals[entry.name], shared) for entry in CHECKS]
    _keep(folder, results)
    return results


def _measure(
    connection: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    bundle: Workspace | None,
    version: str,
    facts: Facts,
    params: Params,
) -> dict[str, Signals]:
    """The signals of each check, by its name."""
    generator = np.random.default_rng(params.runtime.seed)
    tallies = windows.tallies(connection) if facts["reference_with_sid"] and facts["current_with_sid"] else []
    # The check fires if any of its signals does: each gets its part of the false-alarm rate.
    false_alarm = params.drift.false_alarm / (len(tallies) + 4)
    without = np.array(
        [[facts[f"{side}_events"] - facts[f"{side}_with_sid"], facts[f"{side}_with_sid"]] for side in SIDES]
    )
    found = distributions.measure(
        tallies, without, windows.blocks(connection, generator), params.drift, false_alarm, generator
    )
    by_name = {signal.name: signal for signal in found.features}
    prefix = by_name.pop("prefix_psi", None)
    nothing = NotMeasured("no event since on an item with a semantic ID")
    measured: dict[str, Signals] = {
        CODES.name: list(by_name.values()) or nothing,
        PREFIX.name: [prefix] if prefix else nothing,
        WITHOUT_SID.name: [found.without_sid],
    }
    model: tuple[Signal | NotMeasured, ...] = (_UNPUBLISHED,) * 3
    if bundle is not None:
        # Not before it is needed: whoever wants to know only what is checked must not wait for torch.
        from data_checks import published

        model = published.measure(connection, workspace, bundle, params, false_alarm)
    for entry, signal in zip((NEW_ITEMS, THINKING, RECALL), model, strict=True):
        measured[entry.name] = [signal] if isinstance(signal, Signal) else signal
    return measured


def _nothing_since(facts: Facts) -> NotMeasured:
    """Silence is no fault, unless it comes from times that are none."""
    if facts["ahead"] == "none":
        return NotMeasured("no event since")
    return NotMeasured(
        f"no event since but with times ahead of this machine's clock, the last {facts['ahead']}, which don't count: "
        "set the clock right, or correct the file that brought them and run `ingest`, then `s2gr publish`",
        fault=True,
    )


def _report(
    connection: duckdb.DuckDBPyConnection, folder: Path, signals: dict[str, Signals], facts: Facts, params: Params
) -> Metadata:
    counted = [
        signal
        for entry in (CODES, PREFIX)
        if not isinstance(found := signals[entry.name], NotMeasured)
        for signal in found
    ]
    if not counted:
        return {}
    samples = {side: windows.sample(connection, side, params) for side in SIDES}
    thresholds = {signal.name.removesuffix("_psi"): signal for signal in counted}
    totals = {side: int(facts[f"{side}_with_sid"]) for side in SIDES}
    return report.write(folder, samples, totals, thresholds)


def as_json(results: list[CheckResult]) -> str:
    """Every figure, by check."""
    return json.dumps(_told(results), ensure_ascii=False, indent=2)


def _told(results: list[CheckResult]) -> dict[str, Any]:
    return {
        result.name: {"passed": result.passed}
        | {key: str(value) if isinstance(value, Path) else value for key, value in result.metadata.items()}
        for result in results
    }


def _keep(folder: Path, results: list[CheckResult]) -> None:
    """Write every figure of the window, and remove the pages of the oldest ones; their figures stay."""
    write_json(_told(results), folder / "drift.json")
    pages = sorted(folder.parent.glob("*/sid_drift.*"), key=lambda path: path.stat().st_mtime)
    for page in pages[: -2 * _PAGES]:
        page.unlink(missing_ok=True)


def _day(instant: str) -> str:
    """2020-01-01T18:00:00+00:00 → 20200101T180000: what every file system takes."""
    return instant[:19].replace("-", "").replace(":", "")
