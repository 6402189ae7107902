"""The drift report of Evidently: one page that opens without a network, and the same as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from data_checks.result import Metadata
from data_checks.signals import Signal

Columns = Mapping[str, list[str]]


def write(
    folder: Path, windows: Mapping[str, Columns], totals: Mapping[str, int], signals: Mapping[str, Signal]
) -> Metadata:
    """Write ``sid_drift.html`` and ``sid_drift.json``.

    Args:
        folder: made if it does not exist.
        windows: ``reference`` and ``current``: feature → the bin of each sampled event.
        totals: events that each window was sampled from.
        signals: feature → what all of its events say.
    Returns: ``report`` and ``report_json``, their paths, and the sizes of the samples.
    """
    # Read by Evidently as it is imported.
    os.environ["DO_NOT_TRACK"] = "1"
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    definition = DataDefinition(categorical_columns=list(windows["current"]))
    reference, current = (pd.DataFrame(dict(windows[side]), dtype="str") for side in ("reference", "current"))
    metrics = [
        # The sample is smaller than the windows, and its noise is larger: it gets a threshold of its own.
        ValueDrift(column=feature, method="psi", threshold=_threshold(windows, feature, totals, signals[feature]))
        for feature in windows["current"]
    ]
    snapshot = Report(metrics).run(
        Dataset.from_pandas(current, definition), Dataset.from_pandas(reference, definition), name="sid_drift"
    )
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "sid_drift.html", folder / "sid_drift.json"
    _replace(page, snapshot.get_html_str(as_iframe=False))
    _replace(data, json.dumps(json.loads(snapshot.json()), indent=2) + "\n")
    return {
        "report": page,
        "report_json": data,
        "sampled_reference": len(reference),
        "sampled_current": len(current),
    }


def _threshold(windows: Mapping[str, Columns], feature: str, totals: Mapping[str, int], signal: Signal) -> float:
    """That of all events, and above it what sampling adds: ``(K − 1)·Σ(1/sample − 1/total)``, plus three of its sds."""
    bins = len(set(windows["reference"][feature]) | set(windows["current"][feature]))
    sampling = sum(1 / len(windows[side][feature]) - 1 / totals[side] for side in totals)
    return signal.threshold + (bins - 1 + 3 * (2 * (bins - 1)) ** 0.5) * sampling


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
