"""`s2gr replay`: the last weeks of a real log, lived through while you watch.

The log is cut by time. What comes before the last weeks makes the first model, which is published; then the weeks land
one by one in the landing folder of a project of its own, where Dagster, with its web server, daemon and all sensors,
does what it does anywhere: files are taken in, checked, drift is measured, alarms are told, and a drift alarm starts a
retraining whose challenger has to pass the gate. A drift can be planted: in one week a third of the events go to items
that hardly anybody had cared for.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestration.dvc_project import PROJECT
from orchestration.replay_project import Observed, ReplayProject
from orchestration.snapshot import copy_parts
from s2gr.alerts import outbox
from s2gr.alerts_shown import print_alerts
from s2gr.console import log, set_up_logging
from s2gr.database import database
from s2gr.errors import UserError, explained
from s2gr.params import Params, Source, load_params
from s2gr.sources import load, open_source
from s2gr.workspace import Workspace, write_json

PARTS = ("s2gr", "data_checks", "orchestration", "dvc.yaml", ".dvcignore", "pyproject.toml")
# Small enough for two cores: the loop is what is to be seen, not the model.
SMALL: dict[str, dict[str, Any]] = {
    # The other core is Dagster's.
    "runtime": {"threads": 1},
    "source": {
        "kind": "files",
        "path": "data/landing",
        "interactions": "*interactions.parquet",
        "items": "*items.parquet",
        "item_columns": {"item": "item_id", "title": "title", "text": ["text"]},
    },
    "content": {"kind": "tfidf"},
    "reasoner": {
        "dim": 32,
        "heads": 2,
        "feed_forward": 64,
        "encoder_layers": 1,
        "epochs": 2,
        "validation_users": 500,
    },
    "evaluation": {"bootstrap": 200, "control_users": 0},
}

# Of the planted drift.
MOVED, HYPED = 1 / 3, 100


@dataclass(frozen=True)
class Part:
    """What lands at once: events (user_id, item_id, timestamp), and the items that are new with them."""

    name: str
    events: pa.Table
    items: pa.Table

    @property
    def days(self) -> str:
        times = self.events["timestamp"]
        first, last = (pc.min(times).as_py(), pc.max(times).as_py()) if len(times) else (None, None)
        return f"{first:%Y-%m-%d} to {last:%m-%d}" if first and last else "nothing"


def read_log(source: Source, state: Path) -> tuple[pa.Table, pa.Table]:
    """All that the source holds: events (user_id, item_id, timestamp) by time, and items (item_id, title, text).

    Raises: UserError: the source can't be read.
    """
    # A relative path is one in the project.
    with chdir(PROJECT.root), database(Params().runtime, state) as connection:
        landing = open_source(source, connection, state / "downloads")
        for number, batch in enumerate(landing.batches):
            load(batch, number, connection)
        events = connection.sql(
            "SELECT user_id, item_id, CAST(timestamp AS TIMESTAMPTZ) AS timestamp FROM interactions "
            "WHERE user_id IS NOT NULL AND item_id IS NOT NULL AND timestamp IS NOT NULL ORDER BY timestamp, batch, row"
        ).to_arrow_table()
        items = connection.sql(
            "SELECT item_id, any_value(title) AS title, any_value(text) AS text FROM items "
            "WHERE item_id IS NOT NULL GROUP BY item_id ORDER BY item_id"
        ).to_arrow_table()
    return events, items


def cut(events: pa.Table, items: pa.Table, weeks: int) -> list[Part]:
    """What comes before the last ``weeks`` weeks, and each of these; an item lands with its first event.

    Raises: UserError: the log is empty or too short.
    """
    if not len(events):
        raise UserError("the source holds no event with a user, an item and a time that can be read; look at its files")
    first, last = (moment.as_py() for moment in pc.min_max(events["timestamp"]).values())
    if weeks > (held := (last - first) // timedelta(weeks=1)):
        raise UserError(f"the log spans {held} whole weeks: it is too short for {weeks} weeks, give fewer")
    bounds = [last - timedelta(weeks=weeks - number) for number in range(weeks + 1)]
    parts, landed = [], pa.array([], pa.string())
    for number, until in enumerate(bounds):
        since = bounds[number - 1] if number else None
        inside = pc.less_equal(events["timestamp"], pa.scalar(until))
        if since is not None:
            inside = pc.and_(inside, pc.greater(events["timestamp"], pa.scalar(since)))
        mine = events.filter(inside)
        if not len(mine):
            raise UserError(
                f"the log has no event before {until:%Y-%m-%d}: it is too short for {weeks} weeks, give fewer"
            )
        ids = pc.unique(mine["item_id"].combine_chunks())
        new = ids.filter(pc.invert(pc.is_in(ids, value_set=landed)))
        landed = pa.concat_arrays([landed, new])
        mine_items = items.filter(pc.is_in(items["item_id"], value_set=new))
        parts.append(Part("base" if not number else f"week-{number}", mine, mine_items))
    return parts


def plant(part: Part, before: pa.Table, seed: int = 0) -> Part:
    """``part`` after a third of its events have gone to items that hardly anybody cared for ``before``."""
    generator = np.random.default_rng(seed)
    counts = pc.value_counts(before["item_id"].combine_chunks())
    by_count = sorted(counts.to_pylist(), key=lambda entry: (entry["counts"], entry["values"]))
    # Five events at least: the first model must know them.
    hyped = [entry["values"] for entry in by_count if entry["counts"] >= 5][:HYPED]
    users = part.events["user_id"].to_numpy(zero_copy_only=False)
    items: npt.NDArray[np.object_] = part.events["item_id"].to_numpy(zero_copy_only=False).astype(object)
    for user in dict.fromkeys(users.tolist()):
        rows = np.flatnonzero(users == user)
        moved = rows[generator.random(len(rows)) < MOVED]
        # Nobody takes one twice.
        free = [item for item in generator.permutation(hyped) if item not in set(items[rows])]
        for row, item in zip(moved, free, strict=False):
            items[row] = item
    column = part.events.column_names.index("item_id")
    return replace(part, events=part.events.set_column(column, "item_id", pa.array(items.tolist(), pa.string())))


def make_project(folder: Path) -> None:
    """A copy of this project in ``folder``, with a small model.

    Raises: UserError: there is something already.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder.absolute()} is not empty; remove it, or give another --workdir")
    copy_parts(PROJECT.root, folder, PARTS)
    params = load_params([PROJECT.root / "params.yaml"]).model_dump(mode="json")
    for section, values in SMALL.items():
        params[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    load_params([folder / "params.yaml"])
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n    no_scm = true\n", encoding="utf-8")
    (folder / ".dagster").mkdir()
    shutil.copyfile(folder / "orchestration/dagster.yaml", folder / ".dagster/dagster.yaml")


def land(part: Part, landing: Path) -> list[str]:
    """Write the part's files as a producer should: elsewhere, then renamed; the items first. Returns their names."""
    landing.mkdir(parents=True, exist_ok=True)
    names = []
    for kind, table in (("items", part.items), ("interactions", part.events)):
        if len(table):
            name = f"{part.name}-{kind}.parquet"
            pq.write_table(table, landing / f"{name}.part")
            os.rename(landing / f"{name}.part", landing / name)
            names.append(name)
    return names


def replay(folder: Path, source: Source, weeks: int, planted: int | None) -> int:
    """Run it all, print the closing table; the exit status."""
    parts = cut(*read_log(source, PROJECT.root / ".s2gr"), weeks)
    if planted is not None:
        earlier = pa.concat_tables([part.events for part in parts[:planted]])
        parts[planted] = plant(parts[planted], earlier)
    make_project(folder)
    project = ReplayProject(folder.absolute())
    log.info("the first model, from %d events until %s", len(parts[0].events), parts[0].days.split()[-1])
    land(parts[0], folder / "data/landing")
    project.command("dvc", "repro", "--quiet")
    project.command("s2gr", "publish")
    with project.dagster() as url:
        log.info("Dagster is at work: watch it at %s", url)
        rows = []
        for part in parts[1:]:
            told = ", with a drift planted" if part.name == f"week-{planted}" else ""
            log.info("%s (%s) lands: %d events%s", part.name, part.days, len(part.events), told)
            rows.append((part, project.observe(land(part, folder / "data/landing"))))
    faults = _faults(rows, planted)
    write_json({"weeks": [observed.as_dict() for _, observed in rows], "faults": faults}, folder / "replay.json")
    _print(project, rows, planted, faults)
    return 1 if faults else 0


def _faults(rows: Sequence[tuple[Part, Observed]], planted: int | None) -> list[str]:
    found = [f"{part.name}: {failure}" for part, observed in rows for failure in observed.failures]
    if planted is not None:
        early = [part.name for part, observed in rows[: planted - 1] if observed.signals]
        found += [f"an alarm before the planted drift, in {', '.join(early)}"] if early else []
        found += [] if rows[planted - 1][1].signals else [f"the drift planted in week {planted} was not noticed"]
    return found


def _print(
    project: ReplayProject, rows: Sequence[tuple[Part, Observed]], planted: int | None, faults: Sequence[str]
) -> None:
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=150)
    table = Table(title=f"{len(rows)} weeks of operation")
    for column in ("week", "days", "events", "drift", "retraining", "verdict of the gate", "served at the end"):
        table.add_column(column, justify="right" if column == "events" else "left", overflow="fold")
    for number, (part, observed) in enumerate(rows, start=1):
        week = f"{number} (drift planted)" if number == planted else str(number)
        alarm = Text.assemble(("ALARM", "bold red"), f" {', '.join(observed.signals)}")
        drift = alarm if observed.signals else Text(f"no alarm; {observed.worst}")
        cells = (", ".join(observed.retrainings) or "", observed.verdict, observed.version)
        table.add_row(week, part.days, f"{len(part.events):,}", drift, *map(Text, cells))
    console.print(table)
    print_alerts(Workspace(project.root), console)
    alarms = [number for number, (_, observed) in enumerate(rows, start=1) if observed.signals]
    told = [alert for alert, _ in outbox(Workspace(project.root))]
    counts = {kind: sum(alert.kind == kind for alert in told) for kind in ("retraining", "published", "rejected")}
    console.print(
        f"alarms in week {', '.join(map(str, alarms)) or '–'}; retrainings: {counts['retraining']}; "
        f"published: {counts['published']}; rejected: {counts['rejected']}"
    )
    for fault in faults:
        console.print(Text(fault, style="bold red"))
    console.print("Everything is still there. See it in Dagster, on http://127.0.0.1:3000:")
    console.print(Text(f"  cd {project.root} && {project.ui_command()}"), soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="s2gr replay", description=__doc__.split("\n\n")[0] if __doc__ else "")
    parser.add_argument("--weeks", type=int, default=6, help="the last weeks of the log, which land one by one")
    parser.add_argument("--plant-drift", type=int, metavar="WEEK", help="in this week a third of the events move")
    parser.add_argument("--data", type=Path, help="a folder of interactions and items; default: the project's source")
    parser.add_argument("--workdir", type=Path, default=Path("replay"), help="a folder for all of it, new or empty")
    given = parser.parse_args(arguments)
    set_up_logging()
    try:
        with explained():
            if given.weeks < 1 or (given.plant_drift is not None and not 1 <= given.plant_drift <= given.weeks):
                raise UserError(f"--plant-drift: expected a week from 1 to {given.weeks}, found {given.plant_drift}")
            source = load_params([PROJECT.root / "params.yaml"]).source
            if given.data:
                source = source.model_copy(update={"kind": "files", "path": given.data.absolute()})
            return replay(given.workdir, source, given.weeks, given.plant_drift)
    except UserError as error:
        print(f"error: replay: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; {given.workdir} is left as it is", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
