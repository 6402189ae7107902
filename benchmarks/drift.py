"""How often the drift check cries wolf, and how often it misses one: the table in docs/operations.md.

`python -m benchmarks.drift` trains a small model on MovieLens-100K (or `--data FOLDER`, files as recipes/amazon.yaml
has them) without the events of a few items, which play the new ones. Then it makes windows of events by resampling
*users*, bursts and all, and holds each against the check as it is (`data_checks.drift.check`, the HTML page left out):

- nothing: reference and current window are cut from one stream, so nothing has changed; about 2 % of the current
  events fall on new items, like the catalogue's own.
- mass: a third of the current events move from one random half of the first codes to the other half.
- unknown: 10 % of the current events fall on items without a semantic ID.
- content: the new items' texts are random words of the catalogue's vocabulary.

An alarm is one of any signal. `beyond chance` counts windows in which a signal exceeds what chance gives, were there no
floors below which a move is not worth an alarm.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table
from scipy import stats

from benchmarks.drift_streams import (
    CONTENT,
    SCENARIOS,
    Population,
    Stream,
    planted,
    population,
    stream,
    write_stream,
)
from benchmarks.report import write_rows
from data_checks import drift, report
from s2gr.console import log, progress, set_up_logging
from s2gr.params import Params, load_params
from s2gr.pipeline import run_all
from s2gr.publish import publishing
from s2gr.publish.reference import Reference, ask, held_out, write_log
from s2gr.publish.versions import current_bundle
from s2gr.reasoner.recommender import Recommender
from s2gr.workspace import Workspace, read_json, read_table, write_table

SIZES = "2000,5000,20000,100000,1000000"

# Share of the events whose items the model never sees.
_NEW = 0.02
# Drifts are planted into one of so many windows: that 95 % are caught takes fewer of them to show than that 1 % alarm.
_PLANTED = 3
_SMALL: dict[str, Any] = {
    "runtime.threads": 1,
    "events.k_core": 5,
    "content.kind": "tfidf",
    "reasoner.dim": 32,
    "reasoner.heads": 2,
    "reasoner.feed_forward": 64,
    "reasoner.epochs": 2,
}


@dataclass(frozen=True)
class Published:
    """The model, trained once for all windows."""

    bundle: Path
    recommender: Recommender
    left_out: npt.NDArray[np.float64]

    @staticmethod
    def of(workspace: Workspace, params: Params) -> Published:
        publishing.publish(workspace, params)
        bundle = current_bundle(workspace.published).absolute()
        return Published(bundle, Recommender.load(bundle, params), Reference.read(Workspace(bundle)).left_out)


def train(data: Path | None, workdir: Path, settings: dict[str, Any]) -> tuple[Workspace, Workspace]:
    """The workspaces of the whole log (its stage ``events``), and of the model, made without the new items."""
    files: dict[str, Any] = {} if data is None else {"source.kind": "files", "source.path": data.absolute()}
    whole = _run(workdir / "whole", {**files, **settings}, "events")
    source = workdir / "source"
    source.mkdir(exist_ok=True)
    events, items = read_table(whole.events), read_table(whole.items)
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(events["item_id"]).to_pylist()}
    # What is new is not among the most popular yet.
    rare = sorted(item for item, count in counts.items() if count <= np.median(list(counts.values())))
    shuffled = np.random.default_rng(0).permutation(np.array(rare, dtype=object))
    share = np.cumsum([counts[item] for item in shuffled]) / len(events)
    new = pa.array(shuffled[: int(np.searchsorted(share, _NEW)) + 1], pa.string())
    for name, table in (("interactions", events), ("items", items)):
        kept = table.filter(pc.invert(pc.is_in(table["item_id"].cast(pa.string()), value_set=new)))
        columns = [column for column in kept.column_names if column not in ("position", "split")]
        pq.write_table(kept.select(columns), source / f"{name}.parquet")
    own = {"source.kind": "files", "source.path": source.absolute(), **settings, "events.k_core": 1}
    return whole, _run(workdir / "model", own, "evaluation")


def publish(past: Stream, users: Population, model: Published, params: Params, root: Path) -> None:
    """A published bundle below ``root``: the trained model, and ``past`` as the log that it was made from."""
    workspace, bundle = Workspace(root), Workspace(root / "models/published" / model.bundle.name)
    bundle.root.mkdir(parents=True)
    for path in model.bundle.iterdir():
        if path.name != "drift":
            (bundle.root / path.name).symlink_to(path)
    write_stream(past, users, workspace.events)
    write_log(workspace, params, bundle)
    answers = ask(model.recommender, held_out(workspace, params.drift.days), params)
    Reference(model.left_out, answers).write(bundle)
    (bundle.root.parent / "current").symlink_to(bundle.root.name)


def trial(
    users: Population,
    whole: Workspace,
    model: Published,
    params: Params,
    size: int,
    seed: int,
    scenarios: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """One reference and current window, and what the check says of each scenario."""
    generator = np.random.default_rng(seed)
    reference = int(np.clip(4 * size, 20_000, 2_000_000))
    events = stream(users, reference + size, generator)
    past, now = events.take(slice(reference)), events.take(slice(reference, None))
    with tempfile.TemporaryDirectory(prefix="s2gr-drift-") as folder:
        root = Path(folder)
        known = past.take(users.first_code[past.items] >= 0)
        publish(known, users, model, params, root)
        workspace = Workspace(root)
        for scenario in scenarios:
            write_stream(known.followed_by(planted(now, users, scenario, generator)), users, workspace.events)
            items = read_table(whole.items)
            if scenario == CONTENT:
                items = _other_texts(items, users, model, generator)
            write_table(items, workspace.items)
            results = drift.check(root, params)
            verdicts = [
                value
                for result in results
                for key, value in result.metadata.items()
                # That there are new items is no chance.
                if key.endswith("_verdict") and result.name != drift.WITHOUT_SID.name
            ]
            yield {
                "scenario": scenario,
                "events": size,
                "alarm": any(not result.passed for result in results),
                "beyond_chance": any(verdict in ("alarm", "moved", "settled") for verdict in verdicts),
                "signals": sorted(result.name for result in results if not result.passed),
            }


def _other_texts(items: pa.Table, users: Population, model: Published, generator: np.random.Generator) -> pa.Table:
    words = read_json(model.bundle / "models/content/terms.json")["terms"]
    texts = items["text"].to_pylist()
    for row in np.flatnonzero(users.first_code < 0):
        texts[row] = " ".join(generator.choice(words, 20))
    return items.set_column(items.column_names.index("text"), "text", pa.array(texts, pa.string()))


def summary(rows: list[dict[str, Any]], size: int, scenario: str) -> dict[str, Any]:
    """Of all trials of one size and scenario: how often there was an alarm, and its 95 % interval (Clopper–Pearson)."""
    mine = [row for row in rows if row["scenario"] == scenario and row["events"] == size]
    alarms = sum(row["alarm"] for row in mine)
    interval = stats.binomtest(alarms, len(mine)).proportion_ci(method="exact")
    return {
        "scenario": scenario,
        "events": size,
        "windows": len(mine),
        "alarms": alarms / len(mine),
        "low": float(interval.low),
        "high": float(interval.high),
        "beyond_chance": sum(row["beyond_chance"] for row in mine) / len(mine),
        "by_signal": {
            check.name: sum(check.name in row["signals"] for row in mine) / len(mine) for check in drift.CHECKS
        },
    }


def _run(folder: Path, settings: dict[str, Any], until: str) -> Workspace:
    folder.mkdir(parents=True, exist_ok=True)
    run_all(load_params([], [f"{key}={value}" for key, value in settings.items()]), Workspace(folder), until)
    return Workspace(folder)


def table(summaries: list[dict[str, Any]]) -> Table:
    printed = Table(title="Share of the windows with an alarm")
    for column in ("events", "windows", "nothing changed", "95 % interval", "beyond chance", *SCENARIOS[1:]):
        printed.add_column(column, justify="right")
    for size in dict.fromkeys(row["events"] for row in summaries):
        nothing, *others = (row for row in summaries if row["events"] == size)
        printed.add_row(
            f"{size:,}",
            str(nothing["windows"]),
            f"{nothing['alarms']:.1%}",
            f"{nothing['low']:.1%} to {nothing['high']:.1%}",
            f"{nothing['beyond_chance']:.1%}",
            *(f"{row['alarms']:.1%}" for row in others),
        )
    return printed


def main(
    data: Annotated[Path | None, typer.Option(help="Files of your own; default: MovieLens-100K.")] = None,
    workdir: Annotated[Path, typer.Option(help="Where the model is kept.")] = Path(".s2gr/drift-benchmark"),
    sizes: Annotated[str, typer.Option(help="Events of the current window.")] = SIZES,
    windows: Annotated[
        int, typer.Option(min=1, help="Of each size, without drift; in every third each drift is planted.")
    ] = 300,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the rows there.")] = None,
) -> None:
    set_up_logging()
    told = dict(setting.split("=", 1) for setting in settings or ())
    whole, model = train(data, workdir, {**_SMALL, **told})
    users = population(whole, model)
    params = load_params([model.params], ["drift.cases=500", "drift.days=null", "runtime.threads=1"])
    published = Published.of(model, params)
    summaries = []
    for size in map(int, sizes.split(",")):
        rows: list[dict[str, Any]] = []
        with progress(f"{size:,} events", windows) as tracker:
            for seed in range(windows):
                scenarios = SCENARIOS if seed % _PLANTED == 0 else SCENARIOS[:1]
                rows += trial(users, whole, published, params, size, seed, scenarios)
                tracker.advance()
        summaries += [summary(rows, size, scenario) for scenario in SCENARIOS]
        log.info("%s", summaries[-len(SCENARIOS) :])
    Console(width=160).print(table(summaries))
    if json:
        write_rows(json, [{"name": "drift alarms", **row} for row in summaries])


def _without_pages() -> None:
    """The page takes half of the check's time, and decides nothing."""
    report.write = lambda *arguments: {}


if __name__ == "__main__":
    _without_pages()
    typer.run(main)
