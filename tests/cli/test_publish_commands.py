from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from typer.testing import CliRunner, Result

from s2gr.publish.versions import current_version, version_names
from s2gr.workspace import Workspace


def ask(workspace: Workspace, command: str, *arguments: str) -> Result:
    from s2gr.cli import app

    return CliRunner().invoke(app, [command, *arguments, "--workdir", str(workspace.root)])


def published(workspace: Workspace, *arguments: str) -> str:
    result = ask(workspace, "publish", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_publish_versions_and_rollback_tell_what_is_served(finished: Workspace, tmp_path: Path) -> None:
    assert "which is served now" in published(finished)
    (first,) = version_names(finished.published)
    assert f"unchanged: {first}" in published(finished)
    overlay = tmp_path / "more.yaml"
    overlay.write_text("evaluation: {bootstrap: 111}\n", encoding="utf-8")
    more = ["--params", str(finished.params), "--params", str(overlay)]
    published(finished, *more)
    second = version_names(finished.published)[-1]

    told = json.loads(ask(finished, "versions", "--json").stdout)
    assert [(each["version"], each["current"]) for each in told] == [(second, True), (first, False)]
    assert told[0]["training"]["events"] > 0
    table = ask(finished, "versions").stdout
    assert f"▶ │ {second}" in table
    assert f"{told[0]['metrics']['ndcg@10_all']['s2gr']:.4f}" in table

    again = f"`s2gr rollback {second} --workdir {finished.root}`"
    assert f"serving {first}; {second} is withdrawn: {again}" in ask(finished, "rollback").stdout
    assert current_version(finished.published) == first
    assert "somebody went back" in published(finished, *more)
    assert current_version(finished.published) == first
    ask(finished, "rollback", second)
    assert current_version(finished.published) == second
    assert ask(finished, "rollback", second).stdout == f"serving {second}, as before\n"


def test_what_fails_a_critical_check_is_not_published(finished: Workspace) -> None:
    ids = pq.read_table(finished.sids)
    codes = [name for name in ids.column_names if name.startswith("code_")]
    for name in codes:
        ids = ids.set_column(ids.column_names.index(name), name, pa.array([1] * len(ids), ids.schema.field(name).type))
    pq.write_table(ids, finished.sids)
    result = ask(finished, "publish")
    assert result.exit_code == 1
    assert "not published: what fails is critical: " in result.stdout
    assert f"`s2gr publish --force --workdir {finished.root}`" in result.stdout
    assert "nothing goes on being served" in result.stdout
    assert current_version(finished.published) is None


def test_a_damaged_version_is_listed_as_such(finished: Workspace) -> None:
    published(finished)
    (finished.published / "current/manifest.json").write_text("{", encoding="utf-8")
    assert "damaged" in ask(finished, "versions").stdout
    assert "damaged" in json.loads(ask(finished, "versions", "--json").stdout)[0]


def test_errors_are_one_line(tmp_path: Path) -> None:
    for command, message in (
        ("publish", "data/events.parquet is missing: run the stage that makes it first"),
        ("versions", "nothing is published in"),
        ("rollback", "nothing is published in"),
    ):
        result = ask(Workspace(tmp_path), command)
        assert result.exit_code == 2
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
