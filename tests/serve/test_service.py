"""The service as a process of its own, over HTTP: what it answers, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode

from s2gr.reasoner.recommender import Recommender
from s2gr.workspace import Workspace

from .service import HISTORIES, S2GR, Service, serving


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


def test_an_address_that_is_taken_is_told_in_one_line(service: Service, published: Workspace) -> None:
    port = str(urlsplit(service.address).port)
    command = [S2GR, "serve", "--workdir", str(published.root), "--port", port]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr.startswith(f"error: can't listen on 127.0.0.1, port {port} (Address already in use)")
    assert found.stderr.count("\n") == 1
