"""Log lines for Dagster, when it is Dagster that started the stage (through DVC).

``dagster_pipes`` is one small module without dependencies; it is imported only when the variable is set that Dagster
Pipes passes down, so the pipeline itself knows nothing of its orchestrator.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from s2gr.console import log


@contextmanager
def forwarded_log() -> Iterator[None]:
    """While the block runs, each log line also appears in Dagster's event log."""
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        yield
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        handlers = list(pipes.log.handlers)
        for handler in handlers:
            log.addHandler(handler)
        try:
            yield
        finally:
            for handler in handlers:
                log.removeHandler(handler)
