from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from s2gr import __version__
from s2gr.cli import app
from s2gr.publish.versions import switch
from s2gr.workspace import Workspace, read_json, write_json


def summary(workspace: Workspace) -> str:
    result = CliRunner().invoke(app, ["summary", "--workdir", str(workspace.root)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_summary_shows_rankings_sids_times_and_next_steps(evaluated: Workspace) -> None:
    shown = summary(evaluated)
    for expected in (
        "943 users among 1,349 items",
        "Recall@5",
        "NDCG@10",
        "without items already seen",
        "S²GR, SID beam alone",
        "graph walk, undirected ±3",
        "popularity",
        "S²GR against graph walk, whole catalogue: NDCG@10 +0.0100 [+0.0040, +0.0200], better",
        "S²GR against graph walk, undirected ±3, without items already seen: NDCG@10 +0.0100 [+0.0040, +0.0200], can't",
        "utilisation",
        "items in shared SIDs: 12.3% before repair (largest group 4), 0.0% after; 88 moved",
        "reasoner",
        "101.2",
        "s2gr recommend --user 196 -k 10 --workdir",
    ):
        assert expected in shown
    assert max(map(len, shown.splitlines())) <= 120


def test_summary_in_a_dvc_project_names_its_commands(evaluated: Workspace) -> None:
    (evaluated.root / "dvc.yaml").write_text("stages: {}")
    assert "dvc plots show" in summary(evaluated)


def test_summary_names_what_can_be_done_with_a_published_model(evaluated: Workspace) -> None:
    assert "s2gr serve" not in summary(evaluated)
    evaluated.published.mkdir(parents=True)
    switch(evaluated.published, "20261125T011512Z-75c51774")
    shown = summary(evaluated)
    assert "s2gr serve --workdir" in shown
    assert "s2gr explain --user 196 --html out.html --workdir" in shown


def test_summary_does_without_sid_report_and_timings(evaluated: Workspace) -> None:
    evaluated.report("sids").unlink()
    (evaluated.state / "timings.json").unlink()
    shown = summary(evaluated)
    assert "Semantic IDs" not in shown
    assert "NDCG@10" in shown


def test_systems_that_were_not_evaluated_have_no_row(evaluated: Workspace) -> None:
    report = {key: value for key, value in read_json(evaluated.report("evaluation")).items() if "s2gr_beam" not in key}
    write_json(report, evaluated.report("evaluation"))
    assert "SID beam alone" not in summary(evaluated)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "is missing: run `make pipeline`"), ("{", "not readable JSON")]
)
def test_missing_or_damaged_report_is_a_one_line_error(tmp_path: Path, content: str | None, message: str) -> None:
    workspace = Workspace(tmp_path)
    if content is not None:
        workspace.report("evaluation").parent.mkdir()
        workspace.report("evaluation").write_text(content)
    result = CliRunner().invoke(app, ["summary", "--workdir", str(tmp_path)])
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_unknown_option_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["summary", "--nonsense"])
    assert result.exit_code == 2
    assert "No such option" in result.stderr


def test_the_command_line_itself_tells_version_and_errors_without_heavy_imports(tmp_path: Path) -> None:
    told = "from s2gr.cli import main; import sys; sys.argv[0] = 's2gr'; main()"
    version = subprocess.run([sys.executable, "-c", told, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"s2gr {__version__}\n"
    failed = subprocess.run(
        [sys.executable, "-c", told, "summary", "--workdir", tmp_path], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: ")
    assert failed.stdout == ""
    heavy = "import s2gr.cli, sys; print({'torch', 'pyarrow', 'numpy', 'duckdb', 'pydantic'} & set(sys.modules))"
    imported = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert imported.stdout == "set()\n"
