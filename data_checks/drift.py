"""Have the newest events drifted away from the semantic IDs that were trained on the ones before?

The distributions of the codes per level and of the (code 1, code 2) prefix are compared by PSI over all events,
counted in DuckDB, with thresholds calibrated to the sizes of the windows (:mod:`data_checks.psi`). Evidently draws the
report on a seeded sample, whose bars are those of the same bins.

Two limits. Events count as independent draws, though a burst of one user moves codes together. And tastes always move:
every tenth of ML-100K is beyond chance from what came before it, by a PSI of 0.01 to 0.13 above the noise. The floor
``drift.floor`` = 0.25 stands above both, so that an alarm means more than an ordinary month. A catalogue that renews
itself (Amazon Beauty: 0.2 to 0.9 for single codes, about 2 for prefixes) drifts all the time, and the check says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq

from data_checks import report
from data_checks.inputs import Facts, params_of
from data_checks.psi import Noise, noise, psi
from data_checks.result import Check, CheckResult, Metadata, outcome
from s2gr.console import log
from s2gr.database import database, literal, sql
from s2gr.params import Params
from s2gr.workspace import Workspace, readable_artefact

_CODES = Check(
    "sid_codes_drift",
    "warning",
    "If the codes of the newest events are spread otherwise than in training, the codebook and the reasoner speak of "
    "yesterday's tastes: retrain.",
)
_PREFIX = Check(
    "sid_prefix_drift",
    "warning",
    "The pair (code 1, code 2) decides most of an item: it can drift where each of the two codes alone does not.",
)
_WITHOUT_SID = Check(
    "events_without_sid",
    "warning",
    "An event on an item without a semantic ID is lost to the model, as history and as target: assign IDs or retrain.",
)

CHECKS: tuple[Check, ...] = (_CODES, _PREFIX, _WITHOUT_SID)


@dataclass(frozen=True)
class Feature:
    """One watched distribution: its bins' counts in both windows, its PSI, and what chance would give."""

    name: str
    counts: dict[str, tuple[int, int]]
    psi: float
    noise: Noise
    threshold: float

    @property
    def drifted(self) -> bool:
        return self.psi > self.threshold


def check(workspace_root: Path, params: Params | None = None) -> list[CheckResult]:
    """Compare the newest events with the training events before them; write ``reports/drift/sid_drift.html, .json``.

    Args:
        workspace_root: the folder of the artefacts.
        params: section ``drift``; by default of the ``params.yaml`` of the workspace.
    Returns: one result for each of :data:`CHECKS`, in their order, with windows, PSIs, thresholds and the report.
    Raises: UserError: if a file is missing or damaged.
    """
    params = params or params_of(workspace_root)
    workspace = Workspace(workspace_root)
    readable_artefact(workspace.events, ["user_id", "item_id", "timestamp", "position", "split"])
    readable_artefact(workspace.sids, ["item_id", "code_1", "code_2"])
    log.info("checks: drift of the semantic IDs")
    with database(params.runtime, workspace.state) as connection:
        _create_windows(connection, workspace, params.drift.window)
        windows = _describe_windows(connection)
        if not windows["reference_with_sid"] or not windows["current_with_sid"]:
            reason = "not measured: one of the windows has no event on an item with a semantic ID"
            return [outcome(entry, False, observed=reason, expected="two windows", **windows) for entry in CHECKS]
        features = _measure(connection, params)
        pages = report.write(
            workspace.root / "reports/drift",
            {side: _sample(connection, side, params) for side in ("reference", "current")},
            params,
        )
    shared: Metadata = {**windows, "false_alarm": params.drift.false_alarm, **pages}
    return [
        _distribution(_CODES, [feature for feature in features if feature.name != "prefix"], shared),
        _distribution(_PREFIX, [feature for feature in features if feature.name == "prefix"], shared),
        _unknown_items(windows, params.drift.without_sid, shared),
    ]


def _create_windows(connection: duckdb.DuckDBPyConnection, workspace: Workspace, share: float) -> None:
    codes = sorted((name for name in pq.read_schema(workspace.sids).names if name.startswith("code_")), key=_level)
    connection.execute(
        f"""
        CREATE VIEW events AS FROM read_parquet({literal(workspace.events)});
        CREATE VIEW sids AS SELECT item_id, list_value({", ".join(codes)}) AS codes
            FROM read_parquet({literal(workspace.sids)}) WHERE columns(*) IS NOT NULL;
        """
    )
    events = pq.read_metadata(workspace.events).num_rows
    connection.execute(sql(__file__, "windows.sql"), {"newest": max(1, round(events * share))})
    connection.execute(sql(__file__, "bins.sql"))


def _level(column: str) -> int:
    return int(column.removeprefix("code_"))


def _describe_windows(connection: duckdb.DuckDBPyConnection) -> Facts:
    """Sizes and first and last instants of both windows."""
    facts: Facts = {}
    for side in ("reference", "current"):
        row = connection.execute(
            "SELECT count(*), count(codes), min(timestamp), max(timestamp) FROM windows WHERE side = ?", [side]
        ).fetchone()
        assert row is not None
        facts |= {f"{side}_events": row[0], f"{side}_with_sid": row[1]}
        facts |= {f"{side}_from": _instant(row[2]), f"{side}_to": _instant(row[3])}
    return facts


def _instant(value: datetime | None) -> str:
    return "none" if value is None else value.isoformat()


def _measure(connection: duckdb.DuckDBPyConnection, params: Params) -> list[Feature]:
    names = [name for (name,) in connection.execute("SELECT DISTINCT feature FROM counts ORDER BY feature").fetchall()]
    generator = np.random.default_rng(params.runtime.seed)
    # The check fires if any of its distributions does: each gets its part of the false-alarm rate.
    false_alarm = params.drift.false_alarm / len(names)
    features = []
    for name in names:
        rows = connection.execute(
            "SELECT bin, reference, current FROM counts WHERE feature = ? ORDER BY bin", [name]
        ).fetchall()
        counts = np.array([row[1:] for row in rows], dtype=np.int64)
        chance = noise(counts[:, 0], counts[:, 1], false_alarm, generator)
        bins = {str(label): (reference, current) for label, reference, current in rows}
        value = float(psi(counts[:, 0], counts[:, 1]))
        features.append(Feature(name, bins, value, chance, chance.threshold(params.drift.floor)))
    return features


def _sample(connection: duckdb.DuckDBPyConnection, side: str, params: Params) -> dict[str, list[str]]:
    """Feature → the bins of a seeded sample of the window's events, the same events for every feature."""
    total = connection.execute("SELECT count(nth) FROM windows WHERE side = ?", [side]).fetchone()
    assert total is not None
    generator = np.random.default_rng([params.runtime.seed, len(side)])
    size = min(total[0], params.drift.sample)
    chosen = (generator.choice(total[0], size=size, replace=False) + 1).tolist()
    rows: list[tuple[list[int]]] = connection.execute(
        "SELECT codes FROM windows WHERE side = $side AND nth IN (SELECT unnest($chosen)) ORDER BY nth",
        {"side": side, "chosen": chosen},
    ).fetchall()
    bins = {
        (feature, value): label
        for feature, value, label in connection.execute("SELECT feature, value, bin FROM bins").fetchall()
    }
    columns: dict[str, list[str]] = {
        f"code_{level + 1}": [bins[f"code_{level + 1}", str(codes[level])] for (codes,) in rows]
        for level in range(len(rows[0][0]))
    }
    return {**columns, "prefix": [bins["prefix", f"{codes[0]}-{codes[1]}"] for (codes,) in rows]}


def _distribution(entry: Check, features: list[Feature], shared: Metadata) -> CheckResult:
    worst = max(features, key=lambda feature: feature.psi - feature.threshold)
    figures: Metadata = {
        "observed": round(worst.psi, 4),
        "expected": f"PSI of {worst.name} at most {worst.threshold:.4f}",
    }
    for feature in features:
        figures |= {
            f"{feature.name}_psi": feature.psi,
            f"{feature.name}_threshold": feature.threshold,
            f"{feature.name}_noise_mean": feature.noise.mean,
            f"{feature.name}_noise_quantile": feature.noise.quantile,
            f"{feature.name}_bins": len(feature.counts),
            f"{feature.name}_moved": _moved(feature),
        }
    return outcome(entry, not worst.drifted, **figures, **shared)


def _moved(feature: Feature) -> list[str]:
    """The five bins whose share moved most: what to look at first."""
    before, after = (sum(pair[side] for pair in feature.counts.values()) for side in (0, 1))
    shares = {label: (old / before, new / after) for label, (old, new) in feature.counts.items()}
    top = sorted(shares.items(), key=lambda entry: (-abs(entry[1][1] - entry[1][0]), entry[0]))[:5]
    return [f"{label}: {old:.2%} → {new:.2%}" for label, (old, new) in top]


def _unknown_items(windows: dict[str, Any], limit: float, shared: Metadata) -> CheckResult:
    share = {side: 1 - windows[f"{side}_with_sid"] / windows[f"{side}_events"] for side in ("reference", "current")}
    figures: Metadata = {"observed": share["current"], "expected": f"at most {limit}", "reference": share["reference"]}
    return outcome(_WITHOUT_SID, share["current"] <= limit, **figures, **shared)
