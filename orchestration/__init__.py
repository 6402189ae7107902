"""Dagster on top of DVC: the asset graph is built from dvc.yaml, an asset's body is one `dvc repro`."""

import os

# Nothing phones home, whoever imports this and in whatever process.
for _variable, _value in {
    "DVC_NO_ANALYTICS": "1",
    "DAGSTER_DISABLE_TELEMETRY": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}.items():
    os.environ.setdefault(_variable, _value)
