"""What each part of the codebook brings: its figures, and what a small reasoner on its semantic IDs finds.

`python -m benchmarks.ablation --data FOLDER` runs the pipeline's stages for every variant and seed, through a small
reasoner of fixed size and budget that sees nothing but semantic IDs (no thinking, no item embedding, ranking by the
beam), and reports its best validation NDCG@10. FOLDER holds Amazon-style files (recipes/amazon.yaml). What is
finished is not run again, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_rows
from s2gr.console import set_up_logging
from s2gr.params import load_params
from s2gr.pipeline import run_all
from s2gr.workspace import Workspace, read_json

_RECIPE = Path(__file__).parent.parent / "recipes/amazon.yaml"

# The first four add one part each to the one before; the others change one thing about coba.
VARIANTS: dict[str, dict[str, str | float]] = {
    "rqvae": {"codebook.kind": "rqvae", "cooccurrence.teleport": 1.0},
    "+ propagation": {"codebook.kind": "rqvae"},
    "+ uniformity": {"codebook.kind": "coba", "codebook.balance": 0.0},
    "+ balance = coba": {"codebook.kind": "coba"},
    "rqkmeans": {"codebook.kind": "rqkmeans"},
    "no warm-up": {"codebook.kind": "coba", "codebook.warmup": 0.0},
    "farther propagation": {"codebook.kind": "coba", "cooccurrence.teleport": 0.1, "cooccurrence.steps": 4},
}

REASONER: dict[str, str | float] = {
    "reasoner.thinking": "none",
    "reasoner.dim": 64,
    "reasoner.feed_forward": 256,
    "reasoner.dropout": 0.1,
    "reasoner.item_embedding": "false",
    "reasoner.interest_weight": 0.0,
    "reasoner.distillation": 0.0,
    "reasoner.ranking": "beam",
    "reasoner.batch_size": 512,
    "reasoner.learning_rate": 3e-3,
    "reasoner.content_embedding": "false",
    "reasoner.epochs": 3,
    "reasoner.validation_users": 6000,
    "runtime.threads": 1,
}

# Figure → how it is printed.
FIGURES = {
    "utilisation": "{:.1%}",
    "collisions": "{:.1%}",
    "largest_bucket": "{:.0f}",
    "cohesion_1": "{:.3f}",
    "cohesion_2": "{:.4f}",
    "reconstruction": "{:.3f}",
    "ndcg@10": "{:.4f}",
}


@dataclass(frozen=True)
class Run:
    variant: str
    seed: int
    data: Path
    workdir: Path

    @property
    def folder(self) -> Path:
        name = "".join(letter if letter.isalnum() else "_" for letter in self.variant)
        return self.workdir / f"{name}-{self.seed}"


def run(task: Run) -> dict[str, Any]:
    """Train codebook and reasoner, or read what an earlier run of the same left."""
    set_up_logging()
    settings = {
        "source.path": task.data.absolute(),
        "runtime.seed": task.seed,
        **REASONER,
        **VARIANTS[task.variant],
    }
    params = load_params([_RECIPE], [f"{key}={value}" for key, value in settings.items()])
    workspace = Workspace(task.folder)
    task.folder.mkdir(parents=True, exist_ok=True)
    run_all(params, workspace, "reasoner")
    return {"variant": task.variant, "seed": task.seed, **_figures(workspace, params.codebook.levels)}


def _figures(workspace: Workspace, levels: int) -> dict[str, float]:
    sids = read_json(workspace.report("sids"))
    with workspace.plot("reasoner_curve").open(newline="", encoding="utf-8") as file:
        best = max(float(row["ndcg@10_beam"]) for row in csv.DictReader(file))
    return {
        "utilisation": min(sids[f"level_{level + 1}"]["utilisation"] for level in range(levels)),
        "collisions": sids["collisions"]["before"],
        "largest_bucket": sids["collisions"]["largest_bucket"],
        "cohesion_1": sids["cohesion_1"]["cooccurring"],
        "cohesion_2": sids["cohesion_2"]["cooccurring"],
        "reconstruction": sids["reconstruction_error"]["nearest"],
        "ndcg@10": best,
    }


def table(rows: list[dict[str, Any]]) -> Table:
    """A line per variant: mean ± standard deviation over the seeds."""
    printed = Table(title="codebook ablation: mean ± sd over seeds")
    for column in ("variant", "seeds", *FIGURES):
        printed.add_column(column, justify="left" if column == "variant" else "right")
    for variant, found in _by_variant(rows):
        cells = []
        for figure, form in FIGURES.items():
            values = [row[figure] for row in found]
            spread = f" ± {form.format(stdev(values))}" if len(values) > 1 else ""
            cells.append(form.format(mean(values)) + spread)
        printed.add_row(variant, str(len(found)), *cells)
    return printed


def _by_variant(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for variant in VARIANTS:
        found = [row for row in rows if row["variant"] == variant]
        if found:
            yield variant, found


def main(
    data: Annotated[Path, typer.Option(help="A folder with interactions.parquet, items.parquet and embeddings.")],
    workdir: Annotated[Path, typer.Option(help="Where the runs are kept.")] = Path("ablation"),
    seeds: Annotated[int, typer.Option(min=1)] = 3,
    variants: Annotated[str, typer.Option(help="Comma-separated names; all without it.")] = ",".join(VARIANTS),
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, each on one thread.")] = 2,
    json: Annotated[Path | None, typer.Option("--json", help="Write the rows there.")] = None,
) -> None:
    chosen = [name.strip() for name in variants.split(",")]
    unknown = [name for name in chosen if name not in VARIANTS]
    if unknown:
        raise typer.BadParameter(f"unknown: {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    # Seed by seed: a run that is cut short has compared everything once.
    tasks = [Run(variant, seed, data, workdir) for seed in range(seeds) for variant in chosen]
    with ProcessPoolExecutor(jobs) as pool:
        rows = list(pool.map(run, tasks))
    Console(width=160).print(table(rows))
    if json:
        write_rows(json, [{"name": "codebook ablation", **row} for row in rows])


if __name__ == "__main__":
    typer.run(main)
