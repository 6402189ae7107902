"""S²GR, its controls and the baselines under one protocol, over several seeds: the tables of docs/results.md.

`python -m benchmarks.quality --recipe recipes/amazon.yaml --data FOLDER --seeds 3` runs the pipeline once for every
system and seed, each in a folder of its own below --workdir, compares them over the same users (paired bootstrap),
prints the tables and writes them into docs/results.md, between two marks that bear the name of the data. What is
finished is not run again: an interrupted run goes on where it stopped, and more seeds add to those that are there. A
finished run leaves one small file below --records (`quality_records.py`), which is enough for the tables: with the
same parameters it is not run again on another machine either; delete the file to have it run. `--recorded` makes the
tables of what is there. `--quick` is one seed of
two epochs: a rehearsal, whose figures mean nothing and are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from benchmarks import quality_plot, quality_records, quality_tables, sasrec
from benchmarks.report import commit, write_rows
from s2gr.console import log, set_up_logging
from s2gr.params import Params, load_params
from s2gr.pipeline import run_all
from s2gr.workspace import Workspace

_ROOT = Path(__file__).parent.parent
RESULTS = _ROOT / "docs/results.md"
RECORDS = _ROOT / "benchmarks/records"
QUICK = ("reasoner.epochs=2",)


@dataclass(frozen=True)
class System:
    """What is trained, as overlays on the recipe."""

    title: str
    recipes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    # Configurations of its family that were compared on validation before.
    trials: int = 0
    # The variants of the protocol in which it runs as well.
    variants: tuple[str, ...] = ()

    def params(self, recipe: Path | None, more: Sequence[str]) -> Params:
        files = [*([recipe] if recipe else []), *(_ROOT / "recipes" / name for name in self.recipes)]
        return load_params(files, [*self.settings, *more])


_BOTH = ("shuffled ties", "temporal split")
SYSTEMS: dict[str, System] = {
    "full": System("S²GR, full (the default)", trials=14, variants=_BOTH),
    "full_no_thinking": System("S²GR, full, without thinking", settings=("reasoner.thinking=none",), trials=14),
    "paper": System("S²GR, the paper's form", ("paper.yaml",), trials=6),
    "paper_no_thinking": System(
        "the paper's form, without thinking", ("paper.yaml",), ("reasoner.thinking=none",), trials=6
    ),
    "paper_pause": System("the paper's form, pause tokens", ("paper.yaml",), ("reasoner.thinking=pause",), trials=6),
    "paper_before": System(
        "the paper's form, all thoughts first", ("paper.yaml",), ("reasoner.thinking=before",), trials=6
    ),
    "tiger": System("TIGER, same layers and width", ("tiger.yaml",), trials=6),
    "sasrec": System("SASRec, full cross-entropy", trials=13, variants=_BOTH),
}
VARIANTS = {"": (), "shuffled ties": ("events.ties=shuffled",), "temporal split": ("events.split=temporal",)}


@dataclass(frozen=True)
class Run:
    """One system, seed and variant of the protocol."""

    system: str
    seed: int
    variant: str
    params: Params
    folder: Path
    record: Path
    commit: str
    # What SASRec is trained with.
    baseline: sasrec.Settings

    @property
    def told_params(self) -> dict[str, Any]:
        """What hangs on nothing but the run: its parameters, and the baseline's where it is one."""
        found = quality_records.comparable(self.params)
        return found | {"baseline": sasrec.described(self.baseline)} if self.system == "sasrec" else found

    @property
    def is_recorded(self) -> bool:
        """Whether it has run with these parameters, here or elsewhere."""
        return self.record.exists() and quality_records.read(self.record).params == self.told_params


def execute(task: Run) -> None:
    """Run what is not up to date in the run's folder, and record it."""
    set_up_logging()
    log.info("%s, seed %d %s", SYSTEMS[task.system].title, task.seed, task.variant)
    workspace = Workspace(task.folder)
    task.folder.mkdir(parents=True, exist_ok=True)
    if task.system == "sasrec":
        run_all(task.params, workspace, "events")
        sasrec.run(task.params, workspace, task.baseline)
    else:
        run_all(task.params, workspace, "evaluation")
    told = (task.system, task.seed, task.variant, task.told_params, task.commit)
    quality_records.write(quality_records.collect(*told, workspace), task.record)


def tasks(
    recipe: Path | None,
    more: Sequence[str],
    seeds: int,
    names: Sequence[str],
    variants: Sequence[str],
    workdir: Path,
    records: Path,
    baseline: sasrec.Settings,
) -> list[Run]:
    """Seed by seed, so that a run that is cut short has compared everything once; the variants come last."""
    found, now = [], commit()
    for variant in ("", *variants):
        for seed in range(seeds):
            for name in names:
                if variant and variant not in SYSTEMS[name].variants:
                    continue
                settings = [*more, f"runtime.seed={seed}", *VARIANTS[variant]]
                params = SYSTEMS[name].params(recipe, settings)
                called = "-".join(part.replace(" ", "_") for part in (name, variant, str(seed)) if part)
                record = records / f"{called}.parquet"
                found.append(Run(name, seed, variant, params, workdir / called, record, now, baseline))
    return found


def main(
    data: Annotated[Path | None, typer.Option(help="The folder of the logs; default: the recipe's.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="What suits the data; default: the defaults.")] = None,
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    workdir: Annotated[Path, typer.Option(help="Where the runs are kept.")] = Path("quality"),
    systems: Annotated[str, typer.Option(help="Comma-separated names.")] = ",".join(SYSTEMS),
    variants: Annotated[str, typer.Option(help="Comma-separated; '' for none.")] = ",".join(_BOTH),
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, each on one thread.")] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="One seed of two epochs.")] = False,
    recorded: Annotated[bool, typer.Option("--recorded", help="Run nothing; the tables of what is recorded.")] = False,
    name: Annotated[str | None, typer.Option(help="Of the data, in the results; default: its folder's.")] = None,
    records: Annotated[Path | None, typer.Option(help="Where finished runs are recorded.")] = None,
    results: Annotated[Path | None, typer.Option(help="Markdown file that takes the tables.")] = RESULTS,
    plot: Annotated[Path | None, typer.Option(help="Draw the rankings there (PNG).")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the rows there.")] = None,
) -> None:
    names = [each for each in systems.split(",") if each]
    wanted = [each for each in variants.split(",") if each]
    for each, known in ((names, SYSTEMS), (wanted, VARIANTS)):
        unknown = sorted(set(each) - set(known))
        if unknown:
            raise typer.BadParameter(f"unknown: {', '.join(unknown)}; there are {', '.join(filter(None, known))}")
    more = ["runtime.threads=1", *(settings or ()), *(QUICK if quick else ())]
    if data is not None:
        more.append(f"source.path={data.absolute()}")
    label = name or (data.name if data is not None else load_params([recipe] if recipe else []).source.kind)
    kept = workdir if quick else records or RECORDS / label
    baseline = sasrec.Settings(epochs=2) if quick else sasrec.Settings()
    todo = tasks(recipe, more, 1 if quick else seeds, names, wanted, workdir, kept, baseline)
    if recorded:
        todo = [task for task in todo if task.is_recorded]
    if not any(task.variant == "" for task in todo):
        raise typer.BadParameter(f"nothing that was asked for is recorded in {kept}; leave out --recorded")
    with ProcessPoolExecutor(jobs, max_tasks_per_child=1) as pool:
        list(pool.map(execute, [task for task in todo if not task.is_recorded]))
    found = [quality_records.read(task.record) for task in todo]
    table = quality_tables.Table(titles(), found)
    text = quality_tables.markdown(label, table, trials(), found)
    Console().print(Markdown(text))
    if results is not None and not quick:
        quality_tables.replace_block(results, label, text)
    if plot:
        quality_plot.draw(table, label, plot)
    if json:
        write_rows(json, quality_tables.rows(found))


def titles() -> Mapping[str, str]:
    return {name: system.title for name, system in SYSTEMS.items()}


def trials() -> Mapping[str, int]:
    return {name: system.trials for name, system in SYSTEMS.items()}


if __name__ == "__main__":
    typer.run(main)
