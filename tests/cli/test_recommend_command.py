from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from s2gr import Recommender
from s2gr.params import Params
from s2gr.publish.publishing import publish
from s2gr.sequences import load_sequences
from s2gr.workspace import Workspace


@pytest.fixture
def served(finished: Workspace, made_with: Callable[..., Params]) -> Workspace:
    publish(finished, made_with())
    return finished


def ask(workspace: Workspace, *arguments: str) -> Result:
    from s2gr.cli import app

    return CliRunner().invoke(app, ["recommend", "--workdir", str(workspace.root), *arguments])


def history_of(workspace: Workspace, user: str) -> list[str]:
    log = load_sequences(workspace.events, workspace.items)
    index = log.user_ids.index(user)
    return [log.item_ids[row] for row in log.items[log.offsets[index] : log.offsets[index + 1]]]


def test_table_shows_titles_scores_sids_and_the_recent_history(served: Workspace) -> None:
    result = ask(served, "--user", "u07", "-k", "2")
    assert result.exit_code == 0, result.output
    shown, recommended = result.stdout.split("Recommended")
    met = history_of(served, "u07")
    assert "User u07, the last 5 items" in shown
    assert f"Thing {met[-1]}" in shown
    best = Recommender.load(served.published / "current").recommend(met, k=2)
    for item in best:
        assert item.title in recommended
        assert f"{item.score:.4f}" in recommended
        assert "-".join(map(str, item.sid)) in recommended


def test_json_leaves_out_seen_items_and_places_that_nothing_fills(served: Workspace) -> None:
    told = json.loads(ask(served, "--user", "u07", "-k", "100", "--json").stdout)
    met = history_of(served, "u07")
    assert told["user"] == "u07"
    assert [item["item_id"] for item in told["history"]] == met[-5:]
    assert {item["item_id"] for item in told["items"]} == set(load_catalogue(served)) - set(met)


def load_catalogue(workspace: Workspace) -> list[str]:
    return Recommender.load(workspace).item_ids


def test_include_seen_ranks_the_whole_catalogue(served: Workspace) -> None:
    told = json.loads(ask(served, "--user", "u07", "-k", "100", "--json", "--include-seen").stdout)
    assert {item["item_id"] for item in told["items"]} == set(load_catalogue(served))


def test_unknown_user_is_told_the_closest_ids(served: Workspace) -> None:
    result = ask(served, "--user", "u070")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: there is no user 'u070' in data/events.parquet; the closest of 40: u06, u07, u08, u09\n"
    )


def test_no_artefacts_is_a_one_line_error(tmp_path: Path) -> None:
    result = ask(Workspace(tmp_path), "--user", "1")
    assert result.exit_code == 2
    assert "items.parquet is missing: run the stage" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
