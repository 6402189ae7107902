"""Named jobs. Their selections are objects: selection strings die under the antlr4 version that DVC pins."""

import dagster as dg

from orchestration.dvc_project import PROJECT

# Tag of runs that make artefacts in the working tree: one at a time (dagster.yaml), or the checks of one would read
# what the other has just removed.
IN_PLACE = {"s2gr/place": "working-tree"}

pipeline = dg.define_asset_job(
    "pipeline",
    selection=dg.AssetSelection.assets(*PROJECT.stages),
    description="Every stage, from raw logs to the evaluated model, and the data checks; DVC skips what is up to date.",
    tags=IN_PLACE,
)

ingest = dg.define_asset_job(
    "ingest",
    selection=dg.AssetSelection.assets("events"),
    description="Landed files into the event log, and its data checks. Nothing is trained; `pipeline` does that.",
    tags=IN_PLACE,
)
