"""`dg dev`, Dagster's web server and daemon in one, as a process that ends with the block that needs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from s2gr.errors import UserError

# Seconds: between two looks, until Dagster answers, and until it has ended.
_PAUSE, _START, _END = 0.5, 300.0, 60.0


@contextmanager
def dagster_dev(root: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Started in the project ``root`` as `make ui` does it, on a free port; its address.

    Raises: UserError: it does not start.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    transcript = root / ".dagster/dev.log"
    with transcript.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            ["dg", "dev", "--host", "127.0.0.1", "--port", str(port)],
            cwd=root,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        if not _answers(address, process):
            said = transcript.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise UserError(f"Dagster did not start in {root}:\n{said}")
        yield address
    finally:
        # It may have ended by itself, which the error above is about.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(_END)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    """Waits until it does, has ended, or it takes too long."""
    deadline = time.monotonic() + _START
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/server_info", timeout=5):
                return True
        except OSError:
            time.sleep(_PAUSE)
    return False
