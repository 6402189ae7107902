"""The process of the service: whom it lets in, how long it waits, how it starts and stops."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from s2gr.workspace import Workspace

from .service import PATIENCE, S2GR, Service, serving


def test_a_key_is_asked_for_where_there_is_one(published: Workspace) -> None:
    with serving(published, S2GR_API_KEY="first second schlüssel") as service:
        asked = {"history": ["i03"]}
        assert service.http.post("/recommend", json=asked).status_code == 401
        assert service.http.get("/metrics").status_code == 401
        assert service.http.get("/docs").status_code == 200
        specification = service.http.get("/openapi.json").json()["paths"]["/recommend"]["post"]
        assert specification["security"]
        # Anyone may read it, and nobody without a key what the catalogue holds.
        example = specification["requestBody"]["content"]["application/json"]["example"]
        assert example["history"]
        assert service.http.post("/recommend", json=example, headers={"X-API-Key": "first"}).status_code == 404
        for key in ("wrong", "", "schlüsse".encode(), "schlüssel".encode("latin-1")):
            assert service.http.post("/recommend", json=asked, headers={"X-API-Key": key}).status_code == 401
        assert service.http.post("/recommend", json=asked, headers={"Authorization": "Bearer firs"}).status_code == 401
        for headers in (
            {"X-API-Key": "first"},
            {"Authorization": "Bearer second"},
            {"X-API-Key": "schlüssel".encode()},
        ):
            assert service.http.post("/recommend", json=asked, headers=headers).status_code == 200


def test_a_head_or_a_body_that_does_not_come_is_not_waited_for(published: Workspace, tmp_path: Path) -> None:
    overlay = tmp_path / "serve.yaml"
    overlay.write_text("serve: {timeout: 0.5}\n", encoding="utf-8")
    with serving(published, "--params", str(overlay)) as service:
        where = urlsplit(service.address)
        with socket.create_connection((where.hostname, where.port), timeout=PATIENCE) as connection:
            connection.sendall(b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            assert connection.recv(100).startswith(b"HTTP/1.1 408")
        begun, whole = b"GET /health HTTP/1.1\r\nHost: x\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        for sent in (b"", begun):
            with socket.create_connection((where.hostname, where.port), timeout=PATIENCE) as connection:
                connection.sendall(sent)
                assert connection.recv(100) == b""
        with socket.create_connection((where.hostname, where.port), timeout=PATIENCE) as connection:
            for _ in range(2):
                connection.sendall(whole)
                answer = b""
                while not answer.endswith(b"}"):
                    answer += connection.recv(1000)
                assert answer.startswith(b"HTTP/1.1 200")
                # Between two requests it may be silent for longer.
                time.sleep(0.7)
            connection.sendall(begun)
            assert connection.recv(100) == b""


def test_killed_it_is_up_again_at_once_and_told_to_stop_it_stops(published: Workspace) -> None:
    service = Service(published)
    service.process.kill()
    service.process.wait()
    port = urlsplit(service.address).port
    assert port is not None
    again = Service(published, port=port, decoders=1)
    used = Path(f"/proc/{again.process.pid}/stat")
    if used.exists():
        ticks = sum(map(int, used.read_text().rsplit(") ", 1)[1].split()[11:13]))
        importing = "import time, torch, fastapi, pyarrow.parquet, scipy.sparse; print(time.process_time())"
        least = float(subprocess.check_output([sys.executable, "-c", importing], text=True))
        # It does little more than import what it needs: two seconds where nothing else runs, and both take longer where
        # much does.
        assert ticks / os.sysconf("SC_CLK_TCK") < 5 * least
    assert again.recommended(["i03"])
    assert again.stop() in (0, -15)


def test_it_starts_without_what_only_training_needs() -> None:
    program = "import sys, s2gr.serve.server; print({'sklearn', 'pandas', 'matplotlib', 'duckdb'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "set()\n"


def test_an_empty_address_is_not_taken_for_all_addresses(published: Workspace) -> None:
    command = [S2GR, "serve", "--workdir", str(published.root), "--port", "0", "--host", ""]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert found.returncode == 2
    assert found.stderr.startswith("error: --host is empty; give the address to listen on")
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("blank", ["", " "])
def test_a_variable_without_a_key_is_not_taken_for_no_key_wanted(published: Workspace, blank: str) -> None:
    command = [S2GR, "serve", "--workdir", str(published.root), "--port", "0"]
    environment = {**os.environ, "S2GR_API_KEY": blank}
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE, env=environment)
    assert found.returncode == 2
    assert found.stderr.startswith("error: S2GR_API_KEY is set, but holds no key")
    assert found.stderr.count("\n") == 1
