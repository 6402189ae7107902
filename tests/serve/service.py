"""The service as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from s2gr.workspace import Workspace

# Starting takes two seconds where nothing else runs.
PATIENCE = 240.0
S2GR = str(Path(sys.executable).with_name("s2gr"))
HISTORIES = [[f"i{(start + step) % 60:02}" for step in range(1 + start % 7)] for start in range(12)]


class Service:
    """``s2gr serve`` in a process."""

    def __init__(
        self, workspace: Workspace, *arguments: str, port: int = 0, decoders: int = 0, **environment: str
    ) -> None:
        overlay = workspace.root / "serve.yaml"
        overlay.write_text(f"serve: {{decoders: {decoders}}}\nruntime: {{threads: 1}}\n", encoding="utf-8")
        command = [S2GR, "serve", "--workdir", str(workspace.root), "--port", str(port), "--params", str(overlay)]
        self.process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        assert self.process.stdout is not None
        # Nothing comes if it ends with an error, which it has written to stderr.
        told = self.process.stdout.readline()
        assert told.startswith("serving "), told
        self.address = told.split(" on ")[1].split(",")[0]
        self.http = httpx.Client(base_url=self.address, timeout=PATIENCE)
        wait_for(self.healthy)

    def healthy(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def version(self) -> str:
        return str(self.http.get("/health").json()["version"])

    def recommended(self, history: list[str], **more: Any) -> list[str]:
        answer = self.http.post("/recommend", json={"history": history, **more})
        assert answer.status_code == 200, answer.text
        return [item["item_id"] for item in answer.json()["items"]]

    def stop(self) -> int:
        self.http.close()
        self.process.terminate()
        return self.process.wait(PATIENCE)


def wait_for(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


@contextmanager
def serving(workspace: Workspace, *arguments: str, decoders: int = 0, **environment: str) -> Iterator[Service]:
    service = Service(workspace, *arguments, decoders=decoders, **environment)
    try:
        yield service
    finally:
        service.stop()
