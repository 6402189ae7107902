"""The drift report of Evidently: one page that opens without a network, and the same as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from data_checks.psi import noise
from data_checks.result import Metadata
from s2gr.params import Params

Columns = Mapping[str, list[str]]


def write(folder: Path, windows: Mapping[str, Columns], params: Params) -> Metadata:
    """Write ``sid_drift.html`` and ``sid_drift.json``.

    Args:
        folder: made if it does not exist.
        windows: ``reference`` and ``current``: feature → the bin of each sampled event.
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
        ValueDrift(column=feature, method="psi", threshold=_threshold(windows, feature, params))
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


def _threshold(windows: Mapping[str, Columns], feature: str, params: Params) -> float:
    samples = [np.array(windows[side][feature]) for side in ("reference", "current")]
    labels = np.unique(np.concatenate(samples))
    counts = [np.bincount(np.searchsorted(labels, sample), minlength=len(labels)) for sample in samples]
    generator = np.random.default_rng(params.runtime.seed)
    false_alarm = params.drift.false_alarm / len(windows["current"])
    return noise(counts[0], counts[1], false_alarm, generator).threshold(params.drift.floor)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
