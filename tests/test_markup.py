"""What users, files and receivers are called is shown as it is: no name is markup or an emoji to the terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from data_checks.drift_table import print_drift
from data_checks.result import CheckResult
from s2gr.alerts import VARIABLE
from s2gr.alerts_shown import print_alerts
from s2gr.publish.shown import print_versions
from s2gr.serve.recommend import Recommendations, print_recommendations
from s2gr.workspace import Workspace

NAMES = ("[deleted]", "[/x]", ":heart:")


def shown(show: Callable[[Console], None]) -> str:
    """Without blanks and line feeds: titles are as wide as their tables."""
    console = Console(width=200, highlight=False)
    with console.capture() as capture:
        show(console)
    return "".join(capture.get().split())


@pytest.mark.parametrize("name", NAMES)
def test_names_are_no_markup(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = name.strip(":")
    monkeypatch.setenv(VARIABLE, f"{receiver}://host")
    workspace = Workspace(tmp_path / name.replace("/", ""))
    (workspace.published / "20261125T011512Z-75c51774").mkdir(parents=True)
    recommendations = Recommendations("v1", name, [], 0, [])
    unmeasured = CheckResult("codes", False, "warning", "why", {"observed": f"{name} is missing"})
    assert f"User{name},thelast0items" in shown(lambda console: print_recommendations(recommendations, console))
    assert f"receivers:{receiver}" in shown(lambda console: print_alerts(workspace, console))
    assert f"{workspace.root.name}/models/published" in shown(
        lambda console: print_versions(workspace.published, console)
    )
    assert f"{name}ismissing" in shown(lambda console: print_drift([unmeasured], console))
