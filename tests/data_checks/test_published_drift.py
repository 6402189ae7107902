"""Drift since a published model: what has landed since against what it was made from."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from data_checks import drift
from data_checks.drift_table import print_drift
from s2gr.cli import app
from s2gr.content.frozen import content_model
from s2gr.errors import UserError
from s2gr.params import Params
from s2gr.publish.publishing import publish
from s2gr.publish.reference import Reference
from s2gr.workspace import Workspace, read_json, write_json, write_table

from ..later import HOUR, USERS, evaluated, land, later, sentinel, walk

MadeWith = Callable[..., Params]


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_checks.report.write", lambda folder, windows, totals, signals: {})


@pytest.fixture
def made_with(made_with: MadeWith) -> MadeWith:
    """All that has happened since is the window, unless a test says otherwise."""
    return lambda **changes: made_with(**({"drift": {"days": None}} | changes))


@pytest.fixture
def published(finished: Workspace, made_with: MadeWith) -> Workspace:
    """All stages have run, and the model is published."""
    publish(finished, made_with())
    return finished


def write_csv(events: pa.Table, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(events.column_names)
        rows = zip(*(column.to_pylist() for column in events.columns), strict=True)
        writer.writerows((user, item, time.isoformat()) for user, item, time in rows)


def by_name(results: list[Any]) -> dict[str, Any]:
    return {result.name: result for result in results}


def test_right_after_publication_there_is_nothing_to_measure(published: Workspace, made_with: MadeWith) -> None:
    results = drift.check(published.root, made_with())
    assert [result.metadata["observed"] for result in results] == ["not measured: no event since"] * 6
    assert all(result.passed for result in results)


def test_more_of_the_same_is_no_alarm(published: Workspace, made_with: MadeWith) -> None:
    land(published, later(walk()))
    found = by_name(drift.check(published.root, made_with()))
    assert all(result.passed for result in found.values())
    metadata = found["thinking_drift"].metadata
    assert metadata["published"] == (published.published / "current").readlink().name
    assert (metadata["reference_events"], metadata["current_events"]) == (480, 400)
    assert metadata["thinking_entropy_move_users"] == 40
    assert found["new_items_drift"].metadata["observed"] == "not measured: 0 new items, 8 are needed"
    assert (published.root / f"reports/drift/{metadata['published']}-20200207T150000/drift.json").exists()


def test_a_move_of_tastes_is_an_alarm_and_says_whereto(published: Workspace, made_with: MadeWith) -> None:
    land(published, later(lambda user, step: f"i{step % 3:02}"))
    found = by_name(drift.check(published.root, made_with()))
    assert not found["sid_codes_drift"].passed
    assert "→" in found["sid_codes_drift"].metadata["code_1_psi_moved"][0]


def test_a_time_of_no_clock_in_the_published_log_hides_nothing(finished: Workspace, made_with: MadeWith) -> None:
    land(finished, sentinel())
    evaluated(finished)
    publish(finished, made_with())
    land(finished, later(lambda user, step: f"i{step % 3:02}"))
    found = by_name(drift.check(finished.root, made_with()))
    assert not found["sid_codes_drift"].passed
    told = found["sid_codes_drift"].metadata
    assert (told["reference_events"], told["current_events"]) == (480, 400)


def test_a_time_of_no_clock_that_lands_is_left_out(
    published: Workspace, made_with: MadeWith, capsys: pytest.CaptureFixture[str]
) -> None:
    params = made_with(drift={"days": 5.0, "events": 1})
    land(published, later(walk()))
    without = drift.check(published.root, params)
    land(published, sentinel())
    found = drift.check(published.root, params)
    assert found[0].metadata == without[0].metadata | {"ahead": "9999-12-31 00:00:00+00"}
    print_drift(found, Console())
    assert "left out: times ahead of this machine's clock, the last 9999-12-31" in capsys.readouterr().out


def test_where_all_that_is_new_has_a_time_of_no_clock_the_check_fails(published: Workspace) -> None:
    land(published, sentinel())
    found = CliRunner().invoke(app, ["drift", "--workdir", str(published.root)])
    assert found.exit_code == 1, found.output
    assert "the last 9999-12-31 00:00:00+00, which don't count: set the clock right" in found.output


def test_items_unlike_the_catalogue_are_an_alarm(published: Workspace, made_with: MadeWith) -> None:
    land(published, later(lambda user, step: f"n{step}"))
    items = pq.read_table(published.items)
    new = {"item_id": [f"n{n}" for n in range(10)], "title": ["?"] * 10, "text": ["nothing known"] * 10}
    write_table(pa.concat_tables([items, pa.table(new).cast(items.schema)]), published.items)
    found = by_name(drift.check(published.root, made_with()))
    assert not found["new_items_drift"].passed
    assert found["new_items_drift"].metadata["new_items_error_items"] == 10
    assert not found["events_without_sid"].passed


def test_new_items_like_the_catalogues_are_not(published: Workspace, made_with: MadeWith) -> None:
    items = pq.read_table(published.items)
    land(published, later(lambda user, step: f"n{step}"))
    new = {"item_id": [f"n{n}" for n in range(10)], "title": ["?"] * 10, "text": items["text"].to_pylist()[::6]}
    write_table(pa.concat_tables([items, pa.table(new).cast(items.schema)]), published.items)
    assert by_name(drift.check(published.root, made_with()))["new_items_drift"].passed


def test_vectors_that_are_named_no_more_are_not_measured(finished: Workspace, made_with: MadeWith) -> None:
    path = content_model(finished) / "config.json"
    write_json({**read_json(path), "kind": "precomputed"}, path)
    evaluated(finished)
    publish(finished, made_with())
    land(finished, later(lambda user, step: "new"))
    items = pq.read_table(finished.items)
    new = pa.table({"item_id": ["new"], "title": ["?"], "text": ["soap"]})
    write_table(pa.concat_tables([items, new.cast(items.schema)]), finished.items)
    found = by_name(drift.check(finished.root, made_with()))["new_items_drift"]
    assert "content.embeddings is null now" in str(found)


def test_lost_recall_is_measured_on_the_last_event_of_each_user(
    published: Workspace, made_with: MadeWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = Reference.read(Workspace(published.published / "current"))
    assert set(np.unique(reference.answers.recall)) <= {0.0, 1.0}
    assert len(reference.answers.recall) == USERS
    assert np.all((reference.answers.entropy >= 0) & (reference.answers.entropy <= 1))
    # The model knows each target by heart; then it must lose all when the targets are unknown to it.
    everything = Reference(reference.left_out, type(reference.answers)(reference.answers.entropy, np.ones(USERS)))
    monkeypatch.setattr("data_checks.published.Reference.read", lambda bundle: everything)
    land(published, later(lambda user, step: "i00" if step < 9 else "unknown"))
    found = by_name(drift.check(published.root, made_with()))["recall_drift"]
    assert not found.passed
    assert found.metadata["recall_lost"] == 1.0


def test_a_file_of_events_is_measured_as_if_it_had_landed(
    published: Workspace, made_with: MadeWith, tmp_path: Path
) -> None:
    more = later(walk())
    path = tmp_path / "newest[1].csv"
    write_csv(more, path)
    from_file = drift.check(published.root, made_with(), path)
    land(published, more)
    assert from_file == drift.check(published.root, made_with())


@pytest.mark.parametrize("log", [True, False])
def test_the_tail_of_a_raw_file_is_left_out_as_the_log_leaves_it_out(
    published: Workspace, made_with: MadeWith, tmp_path: Path, capsys: pytest.CaptureFixture[str], log: bool
) -> None:
    known = walk()
    # A tenth of the events: four each on items that nobody knows.
    write_csv(later(lambda user, step: known(user, step) if step else f"tail{user // 4}"), tmp_path / "raw.csv")
    params = made_with(events={"k_core": 5}, drift={"days": None})
    # With one more in the log, an item would be in its k-core.
    land(published, later(lambda user, step: "tail9", events=1).slice(39))
    if not log:
        published.events.unlink()
    found = drift.check(published.root, params, tmp_path / "raw.csv")
    without = by_name(found)["events_without_sid"]
    assert without.passed
    assert without.metadata["observed"] == pytest.approx(4 / 364 if log else 0)
    print_drift(found, Console(width=200))
    where = "36 events on unknown items with fewer than 5 in the file and the log"
    alone = "40 events on unknown items with fewer than 5 in the file alone, as there is no log here"
    assert f"left out: {where if log else alone}" in capsys.readouterr().out


def test_only_the_newest_days_are_looked_at(published: Workspace, made_with: MadeWith) -> None:
    # 400 events, an hour apart; what the users did before the window is still their past.
    land(published, later(walk()))
    metadata = drift.check(published.root, made_with(drift={"days": 5.0, "events": 1}))[0].metadata
    assert metadata["current_events"] == 120
    assert metadata["current_from"] == "2020-02-02T16:00:00+00:00"
    everything = drift.check(published.root, made_with(drift={"days": None}))[0].metadata
    assert everything["current_events"] == 400
    # More days than were asked for, where those hold too few events to tell a change from chance.
    fewest = drift.check(published.root, made_with(drift={"days": 5.0, "events": 130}))[0].metadata
    assert fewest["current_events"] == 130


def test_the_reference_names_no_user(published: Workspace) -> None:
    log = pq.read_table(published.published / "current/drift/log.parquet")
    assert log.schema.field("user_id").type == pa.int32()
    assert len(log) == 480


def test_a_file_without_anything_published_is_a_users_mistake(finished: Workspace, made_with: MadeWith) -> None:
    with pytest.raises(UserError, match="nothing is published"):
        drift.check(finished.root, made_with(), finished.events)


def test_an_unreadable_file_is_named_where_it_lies(published: Workspace, made_with: MadeWith, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("user,item\n1,2\n")
    with pytest.raises(UserError, match=f"{tmp_path}: bad.csv: expected column"):
        drift.check(published.root, made_with(), tmp_path / "bad.csv")


def test_the_command_shows_a_table_and_its_exit_status_tells_an_alarm(published: Workspace) -> None:
    runner = CliRunner()
    land(published, later(walk()))
    quiet = runner.invoke(app, ["drift", "--workdir", str(published.root)])
    assert quiet.exit_code == 0, quiet.output
    assert "code 1 psi" in quiet.output
    land(published, later(lambda user, step: "i00", events=60))
    loud = runner.invoke(app, ["drift", "--workdir", str(published.root)])
    assert loud.exit_code == 1, loud.output
    assert "ALARM" in loud.output
    assert "moved most" in loud.output
    found = runner.invoke(app, ["drift", "--json", "--workdir", str(published.root)])
    assert '"sid_codes_drift"' in found.stdout


def test_the_pages_of_old_windows_are_removed_and_their_figures_stay(
    published: Workspace, made_with: MadeWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "_PAGES", 2)

    def write(folder: Path, *rest: Any) -> dict[str, Any]:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("sid_drift.html", "sid_drift.json"):
            (folder / name).touch()
        return {}

    monkeypatch.setattr("data_checks.report.write", write)
    for round_ in range(4):
        more = later(walk(round_), events=2)
        shifted = pa.array([time.timestamp() * 1e6 + round_ * 400 * HOUR for time in more["timestamp"].to_pylist()])
        land(published, more.set_column(2, "timestamp", shifted.cast(pa.int64()).cast(pa.timestamp("us", tz="UTC"))))
        drift.check(published.root, made_with())
    folder = published.root / "reports/drift"
    assert len(list(folder.glob("*/sid_drift.html"))) == 2
    assert len(list(folder.glob("*/drift.json"))) == 4
    assert all(read_json(path)["sid_codes_drift"] for path in folder.glob("*/drift.json"))
