"""One asset for each stage of dvc.yaml."""

import dagster as dg

from orchestration.dvc_bridge import stage_asset
from orchestration.dvc_project import PROJECT


@dg.definitions
def assets() -> dg.Definitions:
    return dg.Definitions(assets=[stage_asset(PROJECT, stage) for stage in PROJECT.stages.values()])
