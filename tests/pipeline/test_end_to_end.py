"""The whole pipeline as people run it: `dvc repro`, then Dagster with its web server and daemon, on one small project.

The tests share one project and follow each other: the first runs everything, the later ones change one thing each.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from orchestration.dagster_process import dagster_dev
from orchestration.dvc_project import Project
from s2gr.stage import STAGES
from s2gr.workspace import Workspace

LAUNCH = """
mutation ($selector: JobOrPipelineSelector!, $config: RunConfigData) {
  launchRun(executionParams: {selector: $selector, runConfigData: $config}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}"""
STATUS = "query ($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
MATERIALISATIONS = """
query ($run: ID!) { runOrError(runId: $run) { ... on Run {
  assetMaterializations { assetKey { path } metadataEntries { label ... on TextMetadataEntry { text } } }
  eventConnection { events { ... on AssetCheckEvaluationEvent { evaluation { checkName success severity } }
                             ... on LogMessageEvent { stepKey message }
                             ... on ExecutionStepFailureEvent { stepKey error { message } } } }
} } }"""
RELOAD = "mutation ($location: String!) { reloadRepositoryLocation(repositoryLocationName: $location) { __typename } }"
RUNS = """
query ($job: String!) { runsOrError(filter: {pipelineName: $job}) { ... on Runs { results { runId status } } } }"""
SENSOR = """
query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) { ... on Sensor { id } } }"""
STOP = "mutation ($id: String!) { stopSensor(id: $id) { __typename } }"
STALENESS = "{ assetNodes { assetKey { path } staleStatus staleCauses { reason } } }"


def test_dvc_repro_makes_every_artefact(pipeline_copy: Any) -> None:
    pipeline_copy.dvc("repro")
    for stage in Project(pipeline_copy.root).stages.values():
        for out in (*stage.outs, *stage.metrics):
            assert (pipeline_copy.root / out).exists(), out
    metrics = json.loads((pipeline_copy.root / "reports/evaluation.json").read_text(encoding="utf-8"))
    assert 0 <= metrics["s2gr"]["ndcg@10"] <= 1


def test_a_second_run_does_nothing_and_the_status_is_clean(pipeline_copy: Any) -> None:
    said = pipeline_copy.dvc("repro")
    assert said.count("didn't change, skipping") == len(STAGES)
    assert json.loads(pipeline_copy.dvc("status", "--json")) == {}


def test_dvc_shows_metrics_and_plots(pipeline_copy: Any) -> None:
    shown = pipeline_copy.dvc("metrics", "show", "--md")
    assert "reports/metrics.json" in shown
    # A table that fits a screen.
    assert 4 <= shown.splitlines()[0].count("ndcg@") <= 12
    pipeline_copy.dvc("plots", "show")
    page = (pipeline_copy.root / "dvc_plots/index.html").read_text(encoding="utf-8")
    assert not re.search(r"<DVC_METRIC\w*>", page)
    for title in (
        "Codebook: losses",
        "Reasoner: losses",
        "Reasoner: validation",
        "items on each code",
        "NDCG at each k",
    ):
        assert title in page


def test_the_default_remote_gives_back_what_is_lost(pipeline_copy: Any) -> None:
    pipeline_copy.dvc("push")
    sids = pipeline_copy.root / "data/sids.parquet"
    before = sids.read_bytes()
    sids.unlink()
    shutil.rmtree(pipeline_copy.root / ".dvc/cache/files")
    pipeline_copy.dvc("pull")
    assert sids.read_bytes() == before


@pytest.mark.parametrize("stage", ["cooccurrence", "sids", "evaluation", "recommendations"])
def test_a_stage_needs_only_its_declared_data_and_gives_the_same_bytes_again(
    pipeline_copy: Any, tmp_path: Path, stage: str
) -> None:
    declared = Project(pipeline_copy.root).stages[stage]
    for path in declared.data:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(pipeline_copy.root / path)
    found = pipeline_copy.run(sys.executable, "-m", f"s2gr.{stage}", "--workdir", str(tmp_path))
    assert found.returncode == 0, found.stdout
    for path in (*declared.outs, *declared.metrics):
        assert (tmp_path / path).read_bytes() == (pipeline_copy.root / path).read_bytes(), path


def test_the_job_over_graphql_runs_only_what_a_changed_parameter_reaches(pipeline_copy: Any, webserver: str) -> None:
    pipeline_copy.change({"reasoner": {"dropout": 0.2}})
    changed = json.loads(pipeline_copy.dvc("status", "--json"))
    assert set(changed) == {"reasoner"}
    shown = _run_job(webserver)
    verdicts = {
        event["assetKey"]["path"][0]: next(e["text"] for e in event["metadataEntries"] if e["label"] == "dvc")
        for event in shown["assetMaterializations"]
    }
    ran = {"reasoner", "evaluation", "recommendations"}
    assert verdicts == {stage: "ran" if stage in ran else "unchanged" for stage in STAGES}
    checks = [event["evaluation"] for event in shown["eventConnection"]["events"] if event.get("evaluation")]
    assert {check["checkName"] for check in checks if not check["success"] and check["severity"] == "ERROR"} == set()
    assert checks
    logged = [event["message"] for event in shown["eventConnection"]["events"] if event.get("message")]
    assert [line for line in logged if line.startswith("reasoner: done in")], "the stage's log lines come through Pipes"
    assert json.loads(pipeline_copy.dvc("status", "--json")) == {}


def test_after_the_job_dagster_finds_nothing_stale(pipeline_copy: Any, webserver: str) -> None:
    _query(webserver, RELOAD, location=_location(webserver))
    assert _stale(webserver) == {}


def test_a_run_at_a_terminal_is_reported_and_nothing_is_stale(pipeline_copy: Any, webserver: str) -> None:
    pipeline_copy.change({"evaluation": {"bootstrap": 101}})
    _query(webserver, RELOAD, location=_location(webserver))
    assert _stale(webserver).keys() == {"evaluation"}
    pipeline_copy.dvc("repro")
    deadline = time.monotonic() + 90
    while stale := _stale(webserver):
        assert time.monotonic() < deadline, stale
        time.sleep(1)


def test_a_file_that_lands_is_in_the_log_soon_after_by_one_run_that_trains_nothing(
    pipeline_copy: Any, webserver: str
) -> None:
    landing, workspace = pipeline_copy.root / "data/landing", Workspace(pipeline_copy.root)
    before = pq.read_metadata(workspace.events).num_rows
    log = pq.read_table(workspace.events)
    newest, item = log["timestamp"].to_pylist(), log["item_id"][0].as_py()
    instant = int(max(newest).timestamp()) + 60
    users = sorted(set(log["user_id"].to_pylist()))[:5]
    with (landing / "late.csv.part").open("w", encoding="utf-8") as file:
        file.write("user_id,item_id,timestamp\n")
        file.writelines(f"{user},{item},{instant}\n" for user in users)
    (landing / "broken.csv").write_text("user_id,item_id,timestamp\n1,2\n", encoding="utf-8")
    (landing / "late.csv.part").rename(landing / "late.csv")
    model = (pipeline_copy.root / "models/reasoner/model.safetensors").stat()
    runs = _wait_for_runs(webserver, "ingest", 1)
    # Long enough for three more looks: nothing is started again.
    time.sleep(10)
    assert _wait_for_runs(webserver, "ingest", 1) == runs
    assert pq.read_metadata(workspace.events).num_rows == before + len(users)
    batches = {row["file"]: row["status"] for row in pq.read_table(workspace.batches).to_pylist()}
    assert batches == {
        "broken.csv": "refused",
        "interactions.parquet": "admitted",
        "items.parquet": "admitted",
        "late.csv": "admitted",
    }
    assert (pipeline_copy.root / "models/reasoner/model.safetensors").stat() == model
    shown = _query(webserver, MATERIALISATIONS, run=runs[0])["runOrError"]
    checks = [event["evaluation"] for event in shown["eventConnection"]["events"] if event.get("evaluation")]
    # A warning: what is downstream is not blocked.
    failed = {check["checkName"]: check["severity"] for check in checks if not check["success"]}
    assert failed["batches_admitted"] == "WARN"
    assert "ERROR" not in failed.values()


def test_in_a_browser_an_asset_is_materialised_and_a_planted_drift_makes_its_check_fail(
    pipeline_copy: Any, webserver: str
) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("there is no Chromium here")
    sync_api = pytest.importorskip("playwright.sync_api")
    # It would take the files itself.
    selector = {
        "sensorName": "landing",
        "repositoryName": "__repository__",
        "repositoryLocationName": _location(webserver),
    }
    sensor = _query(webserver, SENSOR, selector=selector)["sensorOrError"]["id"]
    assert _query(webserver, STOP, id=sensor)["stopSensor"]["__typename"] == "StopSensorMutationResult"
    _land_new_items(Workspace(pipeline_copy.root))
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.set_default_timeout(180_000)
        asset = webserver.replace("/graphql", "/assets/events")
        page.goto(asset, wait_until="domcontentloaded")
        page.get_by_text("Raw logs → one audited, totally ordered event log").first.wait_for()
        shown = page.inner_text("body")
        assert all(told in shown for told in ("Group\ndata", "recommendations", "DuckDB", "ingest", "landing"))
        page.locator("button", has_text="Materialize").first.click()
        page.get_by_text("Launched run").first.wait_for()
        _wait_for_runs(webserver, "__ASSET_JOB", 1)
        page.goto(f"{asset}?view=checks", wait_until="domcontentloaded")
        page.get_by_text("events_without_sid", exact=True).first.click()
        page.get_by_text("share of events on items without a semantic ID at most").first.wait_for()
        page.get_by_text("Failed", exact=True).first.wait_for()
        page.get_by_text("events_items_known", exact=True).first.click()
        page.get_by_text("Succeeded", exact=True).first.wait_for()
        browser.close()


def _land_new_items(workspace: Workspace) -> None:
    """Everybody's newest events are on items that the model has never seen."""
    log = pq.read_table(workspace.events)
    newest = int(max(log["timestamp"].to_pylist()).timestamp()) + 3600
    landing, items = workspace.root / "data/landing", [f"new{item}" for item in range(20)]
    rows = [f"{item},A new thing {item},new things\n" for item in items]
    (landing / "new_items.csv").write_text("item_id,title,text\n" + "".join(rows), encoding="utf-8")
    rows = [
        f"{user},{items[(step + 3 * number) % len(items)]},{newest + 60 * number + step}\n"
        for number, user in enumerate(sorted(set(log["user_id"].to_pylist())))
        for step in range(6)
    ]
    (landing / "drift.csv").write_text("user_id,item_id,timestamp\n" + "".join(rows), encoding="utf-8")


@pytest.fixture(scope="module")
def webserver(pipeline_copy: Any) -> Iterator[str]:
    """Where Dagster answers GraphQL."""
    with dagster_dev(pipeline_copy.root, pipeline_copy.environment) as address:
        yield f"{address}/graphql"


def _query(url: str, query: str, **variables: Any) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


def _stale(url: str) -> dict[str, list[str]]:
    """Why, by asset."""
    nodes = [node for node in _query(url, STALENESS)["assetNodes"] if node["assetKey"]["path"][0] in STAGES]
    assert len(nodes) == len(STAGES)
    return {
        node["assetKey"]["path"][0]: [cause["reason"] for cause in node["staleCauses"]]
        for node in nodes
        if node["staleStatus"] != "FRESH"
    }


def _location(url: str) -> str:
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
    (repository,) = _query(url, query)["repositoriesOrError"]["nodes"]
    assert repository["name"] == "__repository__"
    return str(repository["location"]["name"])


def _wait_for_runs(url: str, job: str, number: int) -> list[str]:
    """The ids of the job's runs, once there are ``number`` of them and all succeeded."""
    deadline = time.monotonic() + 420
    while True:
        runs = _query(url, RUNS, job=job)["runsOrError"]["results"]
        if len(runs) >= number and all(run["status"] == "SUCCESS" for run in runs):
            return [run["runId"] for run in runs]
        assert time.monotonic() < deadline, runs
        assert not [run for run in runs if run["status"] in {"FAILURE", "CANCELED"}], runs
        time.sleep(1)


def _run_job(url: str) -> dict[str, Any]:
    selector = {
        "jobName": "pipeline",
        "repositoryName": "__repository__",
        "repositoryLocationName": _location(url),
    }
    # A process a step would import the same again, fifteen times.
    config = {"execution": {"config": {"in_process": {}}}}
    launched = _query(url, LAUNCH, selector=selector, config=config)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run = launched["run"]["runId"]
    deadline = time.monotonic() + 300
    while (status := _query(url, STATUS, run=run)["runOrError"]["status"]) not in {"SUCCESS", "FAILURE", "CANCELED"}:
        assert time.monotonic() < deadline, status
        time.sleep(1)
    shown: dict[str, Any] = _query(url, MATERIALISATIONS, run=run)["runOrError"]
    failures = [event for event in shown["eventConnection"]["events"] if event.get("error")]
    assert status == "SUCCESS", failures
    return shown
