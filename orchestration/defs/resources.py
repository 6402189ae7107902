"""What assets are handed."""

import dagster as dg


@dg.definitions
def resources() -> dg.Definitions:
    # A stage killed by "Terminate" gets a minute to put its staging folder away.
    return dg.Definitions(resources={"pipes": dg.PipesSubprocessClient(termination_timeout_seconds=60)})
