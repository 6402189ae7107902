"""Publishing at a terminal, where a person stands in for the gate: data that fails a critical check is told first."""

from __future__ import annotations

from s2gr.params import Params
from s2gr.publish.publishing import Outcome, Verdict, publish
from s2gr.publish.versions import current_version
from s2gr.workspace import Workspace


def publish_checked(workspace: Workspace, params: Params, force: bool = False) -> Outcome:
    """:func:`publish`, unless a critical check of the data or the semantic IDs fails; with ``force`` all the same.

    Raises: UserError: a stage has not run, or the artefacts don't fit one another.
    """
    # Here, as Great Expectations takes seconds to import.
    from data_checks.green import critical

    failed = [] if force else critical(workspace.root, params)
    if not failed:
        return publish(workspace, params, force=force)
    told = (
        f"what fails is critical: {'; '.join(failed)} (`python -m data_checks{workspace.option}` says why); correct "
        f"the data and run the stages again, or publish it all the same: `s2gr publish --force{workspace.option}`"
    )
    return Outcome("rejected", current_version(workspace.published) or "", Verdict(False, told))
