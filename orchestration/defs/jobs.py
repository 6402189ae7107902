"""Named jobs. Their selections are objects: selection strings die under the antlr4 version that DVC pins."""

import dagster as dg

from orchestration.dvc_project import PROJECT

pipeline = dg.define_asset_job(
    "pipeline",
    selection=dg.AssetSelection.assets(*PROJECT.stages),
    description="Every stage, from raw logs to the evaluated model, and the data checks; DVC skips what is up to date.",
)

ingest = dg.define_asset_job(
    "ingest",
    selection=dg.AssetSelection.assets("events"),
    description="Landed files into the event log, and its data checks. Nothing is trained; `pipeline` does that.",
)
