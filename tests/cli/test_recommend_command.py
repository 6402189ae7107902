from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from s2gr import Recommender
from s2gr.params import Params
from s2gr.publish.publishing import publish
from s2gr.sequences import load_sequences
from s2gr.workspace import Workspace, write_table


@pytest.fixture
def served(finished: Workspace, made_with: Callable[..., Params]) -> Workspace:
    publish(finished, made_with())
    return finished


def ask(workspace: Workspace, *arguments: str, command: str = "recommend") -> Result:
    from s2gr.cli import app

    return CliRunner().invoke(app, [command, "--workdir", str(workspace.root), *arguments])


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


def test_any_history_will_do_by_id_or_title(served: Workspace) -> None:
    recommender = Recommender.load(served.published / "current")
    title = recommender.titles[recommender.row_of["i07"]]
    told = json.loads(ask(served, "--history", f"i03, {title.upper()},i05", "--history", "i04", "--json").stdout)
    assert [item["item_id"] for item in told["history"]] == ["i03", "i07", "i05", "i04"]
    assert told["user"] is None
    assert told["version"] == recommender.version
    best = recommender.recommend(["i03", "i07", "i05", "i04"])
    assert [item["item_id"] for item in told["items"]] == [item.item_id for item in best]
    assert "The history, the last 2 items" in ask(served, "--history", "i03,i05").stdout


def test_a_user_or_a_history_is_needed_and_not_both(served: Workspace) -> None:
    for arguments in ([], ["--user", "u07", "--history", "i03"]):
        result = ask(served, *arguments)
        assert result.exit_code == 2
        assert result.stderr == "error: give either --user USER or --history id1,id2,…\n"


@pytest.mark.parametrize("command", ["recommend", "explain"])
@pytest.mark.parametrize("history", ["", " , "])
def test_an_empty_history_is_refused(served: Workspace, command: str, history: str) -> None:
    result = ask(served, "--history", history, command=command)
    assert result.exit_code == 2
    assert result.stderr == "error: --history: expected ids or titles of items, oldest first, found none\n"


def test_lists_of_items_say_what_may_come_up(served: Workspace, tmp_path: Path) -> None:
    plain = [item["item_id"] for item in json.loads(ask(served, "--user", "u07", "--json").stdout)["items"]]
    listed = tmp_path / "ids.txt"
    listed.write_text("\n".join(["", *plain[:3], "of another shop", ""]), encoding="utf-8")
    allowed = json.loads(ask(served, "--user", "u07", "--allow", str(listed), "--json").stdout)
    assert {item["item_id"] for item in allowed["items"]} == set(plain[:3])
    denied = json.loads(ask(served, "--user", "u07", "--deny", str(listed), "--json").stdout)
    assert not {item["item_id"] for item in denied["items"]} & set(plain[:3])


def test_a_list_of_nothing_that_is_known_is_refused(served: Workspace, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("x\ny\n", encoding="utf-8")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, message in (
        ("ids.txt", "none of its 2 ids is an item of the published model"),
        ("nowhere", "does not exist; expected a text file"),
        ("binary", "can't be read as a text file"),
    ):
        result = ask(served, "--user", "u07", "--allow", str(tmp_path / name))
        assert result.exit_code == 2
        assert message in result.stderr


def test_events_on_items_that_came_later_are_passed_over(served: Workspace) -> None:
    log = pq.read_table(served.events)
    own = np.flatnonzero(np.array(log["user_id"].to_pylist()) == "u07")
    items = log["item_id"].to_pylist()
    items[own[-1]] = "i999"
    position = log.column_names.index("item_id")
    write_table(log.set_column(position, "item_id", pa.array(items)), served.events)
    assert "(1 events on items that the published model does not know: left out)" in ask(served, "--user", "u07").stdout


def test_nothing_slow_is_imported_and_the_event_log_is_not_needed(served: Workspace) -> None:
    """What takes seconds to import has no part in a recommendation; nor has any work file."""
    shutil.rmtree(served.root / "data")
    shutil.rmtree(served.reasoner)
    asked = ["recommend", "--workdir", str(served.root), "--history", "i03", "--json"]
    program = (
        "import sys; from typer.testing import CliRunner; from s2gr.cli import app; "
        f"told = CliRunner().invoke(app, {asked!r}); "
        "print(told.exit_code, [name for name in ('pandas', 'sklearn', 'lightning_fabric', 'dagster', 'duckdb', "
        "'matplotlib', 'pyarrow.dataset', 'torch._inductor', 'fastapi') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "0 []\n"


def test_unknown_user_is_told_the_closest_ids(served: Workspace) -> None:
    result = ask(served, "--user", "u070")
    assert result.exit_code == 2
    assert result.stderr == (
        f"error: there is no user 'u070' in {served.events}; the closest of 40: u06, u07, u08, u09\n"
    )


def test_no_artefacts_is_a_one_line_error(tmp_path: Path) -> None:
    result = ask(Workspace(tmp_path), "--user", "1")
    assert result.exit_code == 2
    assert "nothing is published in" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
