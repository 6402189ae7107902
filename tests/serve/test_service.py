"""The service as a process of its own, over HTTP: what it answers, what it refuses, and what it takes over."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode

from benchmarks.load import closed, posted
from s2gr.params import Params
from s2gr.publish.publishing import publish
from s2gr.publish.versions import switch
from s2gr.reasoner.recommender import Recommender
from s2gr.workspace import Workspace, read_json, read_table, write_json, write_table

from ..later import evaluated

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


@pytest.fixture(scope="module")
def published(finished_once: tuple[Workspace, Params], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A work folder with one published version."""
    folder = tmp_path_factory.mktemp("served") / "work"
    shutil.copytree(finished_once[0].root, folder)
    publish(Workspace(folder), finished_once[1])
    return Workspace(folder)


@pytest.fixture(scope="module")
def service(published: Workspace) -> Iterator[Service]:
    with serving(published) as started:
        yield started


def test_it_recommends_what_the_library_does(service: Service, published: Workspace) -> None:
    recommender = Recommender.load(published.published / "current")
    for history in HISTORIES:
        answer = service.http.post("/recommend", json={"history": [*history, "nobody's"], "k": 7}).json()
        expected = recommender.recommend(history, k=7)
        assert answer["version"] == recommender.version
        assert answer["unknown"] == ["nobody's"]
        assert [tuple(item["sid"]) for item in answer["items"]] == [item.sid for item in expected]
        assert [item["title"] for item in answer["items"]] == [item.title for item in expected]
        assert [item["score"] for item in answer["items"]] == pytest.approx([item.score for item in expected], rel=1e-4)


def test_filters_are_those_of_the_request(service: Service) -> None:
    found = service.recommended(["i03", "i04"], k=5)
    assert "i04" not in found
    assert found[0] not in service.recommended(["i03", "i04"], k=5, deny=found[:1])
    assert set(service.recommended(["i03", "i04"], allow=["i03", "i20", "i21"])) == {"i20", "i21"}
    kept = service.recommended(["i03", "i04"], allow=["i03", "i20", "i21"], exclude_seen=False)
    assert set(kept) == {"i03", "i20", "i21"}
    assert service.recommended(["i03"], allow=[]) == []


def test_explanations_are_those_of_the_command(service: Service, published: Workspace) -> None:
    from typer.testing import CliRunner

    from s2gr.cli import app

    answer = service.http.post("/explain", json={"history": ["i03", "i04"], "k": 2}).json()
    command = ["explain", "--workdir", str(published.root), "--history", "i03,i04", "-k", "2", "--json"]
    told = json.loads(CliRunner().invoke(app, command).stdout)
    assert answer["faithfulness"] == told["faithfulness"]
    assert answer["items"] == nearly(told["items"])


def nearly(told: Any) -> Any:
    if isinstance(told, dict):
        return {key: nearly(value) for key, value in told.items()}
    if isinstance(told, list):
        return [nearly(value) for value in told]
    return pytest.approx(told, abs=1e-3) if isinstance(told, float) else told


def test_similar_items_are_the_nearest_by_the_models_vectors(service: Service, published: Workspace) -> None:
    recommender = Recommender.load(published.published / "current")
    vectors = recommender.model.item_vectors().detach()
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    cosine = unit @ unit[recommender.row_of["i30"]]
    best = [recommender.item_ids[row] for row in cosine.argsort(descending=True).tolist()[1:5]]
    answer = service.http.post("/similar", json={"item_id": "i30", "k": 4}).json()
    assert [item["item_id"] for item in answer["items"]] == best
    assert answer["items"][0]["cosine"] == pytest.approx(float(cosine.sort(descending=True).values[1]), abs=1e-5)
    denied = service.http.post("/similar", json={"item_id": "i30", "k": 3, "deny": best[:1]}).json()
    assert [item["item_id"] for item in denied["items"]] == best[1:]


DEEP = "[" * 60_000
HOSTILE: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 422),
    "no JSON": (b"{", 400),
    "not UTF-8": (b'{"history": ["\xff"]}', 400),
    "null": (b"null", 422),
    "a list": (b"[]", 422),
    "nothing asked": (b"{}", 422),
    "an empty history": (b'{"history": []}', 422),
    "an empty id": (b'{"history": [""]}', 422),
    "numbers for ids": (b'{"history": [1, 2]}', 422),
    "a half of a surrogate pair": (b'{"history": ["\\ud800"]}', 422),
    "a surrogate as a key": (b'{"history": ["i03"], "\\ud800": 1}', 422),
    "unknown unicode": ('{"history": ["😀\\u0000\\u202e"]}'.encode(), 404),
    "a long id": (json.dumps({"history": ["x" * 257]}).encode(), 422),
    "a long history": (json.dumps({"history": ["i03"] * 1001}).encode(), 422),
    "no items": (b'{"history": ["i03"], "k": 0}', 422),
    "too many items": (b'{"history": ["i03"], "k": 101}', 422),
    "a huge number": (b'{"history": ["i03"], "k": 1' + b"0" * 5000 + b"}", 400),
    "not a number": (b'{"history": ["i03"], "k": NaN}', 422),
    "a number as text": (b'{"history": ["i03"], "k": "5"}', 422),
    "what nobody knows": (b'{"history": ["i03"], "beam": 10000}', 422),
    "deep": (DEEP.encode(), 400),
    "deep and closed": ((DEEP + "]" * 60_000).encode(), 400),
    "oversized": (b'{"history": ["' + b"x" * 300_000 + b'"]}', 413),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("path", ["/recommend", "/explain", "/similar"])
def test_what_it_can_not_use_is_refused_in_one_line(service: Service, path: str, name: str) -> None:
    body, expected = HOSTILE[name]
    answer = service.http.post(path, content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500
    if path == "/recommend":
        assert answer.status_code == expected
    error = answer.json()["error"]
    assert error
    assert "\n" not in error
    assert len(error) < 300


def test_a_large_body_is_refused_though_it_does_not_say_how_large_it_is(service: Service) -> None:
    pieces = iter([b"x" * 100_000] * 4)
    with httpx.Client(base_url=service.address) as client:
        assert client.post("/recommend", content=pieces).status_code == 413


def test_the_page_and_its_scripts_come_from_the_service(service: Service) -> None:
    page = service.http.get("/docs").text
    assert "//cdn" not in page
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert service.http.get(f"/static-offline-docs/{name}").status_code == 200
    spec = service.http.get("/openapi.json").json()
    for path in ("/recommend", "/explain", "/similar"):
        example = spec["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert service.http.post(path, json=example).status_code == 200


def test_prometheus_can_read_the_figures(service: Service) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    service.recommended(["i03"])
    families = {family.name: family for family in text_string_to_metric_families(service.http.get("/metrics").text)}
    asked = {sample.labels["path"]: sample.value for sample in families["s2gr_requests"].samples}
    assert asked["/recommend"] >= 1
    assert families["s2gr_bundle"].samples[0].labels == {"version": service.version()}
    assert families["s2gr_items"].samples[0].value == 60
    assert {"s2gr_request_seconds", "s2gr_batch_size", "s2gr_waiting", "s2gr_takeovers"} <= set(families)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_it_keeps_to_its_specification(service: Service, mode: GenerationMode) -> None:
    # Of what breaks the schema by its length, the body is too large first.
    refused = {"negative_data_rejection": {"expected-statuses": [400, 413, 422]}}
    config = schemathesis.Config.from_dict({"checks": refused})
    specification = schemathesis.openapi.from_url(f"{service.address}/openapi.json", config=config)
    operations = [found.ok() for found in specification.get_all_operations()]
    assert len(operations) == 6
    for operation in operations:
        if mode is GenerationMode.POSITIVE or operation.method == "post":

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
            def keeps(case: schemathesis.Case) -> None:
                case.call_and_validate()

            keeps()


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


def variant(finished: Workspace, number: int) -> None:
    """Another model in the work folder: other titles, other weights of the sources."""
    items = read_table(finished.items)
    titles = pc.binary_join_element_wise(items["item_id"].cast(pa.string()), f"v{number}", " ")
    column = items.schema.get_field_index("title")
    write_table(items.set_column(column, items.schema.field("title"), titles), finished.items)
    config = read_json(finished.reasoner / "config.json")
    share = number / 10
    weights = {"sid": 1 - share, "interest": share, "walk": 0.0, "walk_undirected": 0.0}
    config["fusion"] |= {"everything": weights, "unseen": weights}
    write_json(config, finished.reasoner / "config.json")
    evaluated(finished)


def test_no_request_is_lost_while_five_bundles_are_published(
    finished: Workspace, made_with: Callable[..., Params]
) -> None:
    params = made_with(publish={"keep": 10})
    publish(finished, params)
    asked = [{"history": history, "k": 5} for history in HISTORIES]
    answers: dict[tuple[str, int], list[Any]] = {}
    bad: list[bytes] = []
    done = False

    def answered(index: int, status: int, body: bytes) -> None:
        if status != 200:
            bad.append(body)
            return
        told = json.loads(body)
        items = [(item["item_id"], item["title"], item["score"]) for item in told["items"]]
        same = answers.setdefault((told["version"], index), items)
        if [item[:2] for item in same] != [item[:2] for item in items]:
            bad.append(body)

    with serving(finished, decoders=1) as service, ThreadPoolExecutor(1) as background:
        requests = [posted("/recommend", body) for body in asked]
        load = background.submit(
            asyncio.run, closed(service.address, requests, 16, lambda sent: sent < 10_000 or not done, answered)
        )
        versions = [service.version()]
        try:
            for number in range(1, 6):
                variant(finished, number)
                versions.append(publish(finished, params).current)
                wait_for(lambda: service.version() == versions[-1])
        finally:
            done = True
        outcome = load.result()
    assert not bad
    assert sum(outcome.statuses.values()) >= 10_000
    assert outcome.failed == 0
    assert len(set(versions)) == 6
    assert {version for version, _ in answers} >= set(versions[1:])
    for version in versions:
        recommender = Recommender.load(finished.published / version)
        for index, body in enumerate(asked):
            if (version, index) in answers:
                expected = recommender.recommend(body["history"], k=5)
                found = answers[version, index]
                assert [item[:2] for item in found] == [(item.item_id, item.title) for item in expected]
                assert [item[2] for item in found] == pytest.approx([item.score for item in expected], abs=2e-5)


def test_lists_are_taken_over_and_a_broken_one_or_a_damaged_bundle_is_not(
    finished: Workspace, made_with: Callable[..., Params], tmp_path: Path
) -> None:
    first = publish(finished, made_with()).current
    allow = tmp_path / "allow.txt"
    allow.write_text("i10\ni11\n", encoding="utf-8")
    overlay = tmp_path / "serve.yaml"
    overlay.write_text("serve: {look: 0.05}\n", encoding="utf-8")
    with serving(finished, "--allow", str(allow), "--params", str(overlay)) as service:
        assert set(service.recommended(["i03"])) == {"i10", "i11"}
        assert set(service.recommended(["i03"], allow=["i11", "i12"])) == {"i11"}
        allow.write_text("i12\n", encoding="utf-8")
        wait_for(lambda: service.recommended(["i03"]) == ["i12"])

        def failures() -> float:
            line = next(line for line in service.http.get("/metrics").text.splitlines() if 'outcome="failed"' in line)
            return float(line.split()[-1])

        allow.write_text("nobody's\n", encoding="utf-8")
        wait_for(lambda: failures() >= 1)
        assert service.recommended(["i03"]) == ["i12"]
        allow.write_text("i12\n", encoding="utf-8")
        broken = finished.published / "20990101T000000Z-00000000"
        shutil.copytree(finished.published / first, broken)
        (broken / "models/reasoner/model.safetensors").write_bytes(b"")
        before = failures()
        switch(finished.published, broken.name)
        wait_for(lambda: failures() > before)
        assert service.version() == first
        assert service.recommended(["i03"]) == ["i12"]
        switch(finished.published, first)


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


def test_an_address_that_is_taken_is_told_in_one_line(service: Service, published: Workspace) -> None:
    port = str(urlsplit(service.address).port)
    command = [S2GR, "serve", "--workdir", str(published.root), "--port", port]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr.startswith(f"error: can't listen on 127.0.0.1, port {port} (Address already in use)")
    assert found.stderr.count("\n") == 1
