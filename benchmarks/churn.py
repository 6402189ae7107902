"""How many items change their semantic ID when the codebook is trained again after 5 % new items.

`python -m benchmarks.churn --data FOLDER` trains on the log without the events of a random 5 % of the items, then on
the whole log: from scratch, from scratch with another seed, warm from the first codebook for as many epochs and for
few, and not at all: the first codebook encodes the new embeddings. Each is compared with the first one's IDs, raw and
after the best renaming of the codes (s2gr/sids/churn.py). `s2gr assign`, which keeps the codebook and the old IDs,
changes none by construction and is no row here. FOLDER holds Amazon-style files (recipes/amazon.yaml). What is finished
is not run again.
"""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.report import write_rows
from s2gr.codebook.loading import load_codebook
from s2gr.console import set_up_logging
from s2gr.embeddings import read_embeddings
from s2gr.params import load_params
from s2gr.pipeline import run_all
from s2gr.sids.assignment import assign
from s2gr.sids.churn import compare
from s2gr.sids.quality import collision_share
from s2gr.sids.semantic_ids import SemanticIds, read_codes
from s2gr.workspace import Workspace, read_json

_RECIPE = Path(__file__).parent.parent / "recipes/amazon.yaml"

BEFORE = "before"
TRAINED = ("from scratch", "from scratch, other seed", "warm start", "warm start, short")
KEPT = "codebook kept"
# Epochs of the short one; the others have the recipe's.
_SHORT = 10
_FILES = ("embeddings.npy", "embeddings_item_ids.txt")


def without_new_items(data: Path, folder: Path, share: float, seed: int) -> None:
    """A copy of ``data`` in ``folder`` that lacks ``share`` of the items and their events."""
    folder.mkdir(parents=True, exist_ok=True)
    items, events = (pq.read_table(data / f"{name}.parquet") for name in ("items", "interactions"))
    known = pc.unique(events["item_id"]).sort()
    new = np.random.default_rng(seed).choice(len(known), round(share * len(known)), replace=False)
    left_out = known.take(pa.array(np.sort(new)))
    for name, table in (("items", items), ("interactions", events)):
        pq.write_table(
            table.filter(pc.invert(pc.is_in(table["item_id"], value_set=left_out))), folder / f"{name}.parquet"
        )
    for name in _FILES:
        if not (folder / name).exists():
            (folder / name).symlink_to((data / name).absolute())


def churn(data: Path, workdir: Path, share: float, seed: int, kind: str) -> list[dict[str, Any]]:
    """A row per variant: the churn since the codebook without the new items."""
    source = workdir / f"data-{seed}"
    without_new_items(data, source, share, seed)
    common = {"runtime.seed": seed, "codebook.kind": kind}
    before = _run(workdir / f"{BEFORE}-{seed}", {"source.path": source.absolute(), **common})
    rows = []
    for variant in TRAINED:
        settings = {"source.path": data.absolute(), "sids.previous": before.sids.absolute(), **common}
        if variant == "from scratch, other seed":
            settings["runtime.seed"] = seed + 1000
        if variant.startswith("warm start"):
            settings["codebook.warm_start"] = before.codebook.absolute()
        if variant == "warm start, short":
            settings["codebook.epochs"] = _SHORT
        whole = _run(workdir / f"{variant.replace(', ', '_').replace(' ', '_')}-{seed}", settings)
        figures = read_json(whole.report("sids"))
        del figures["churn"]["previous"]
        told = {
            "collisions": figures["collisions"]["before"],
            "reconstruction": figures["reconstruction_error"]["nearest"],
        }
        rows.append({"variant": variant, "seed": seed, **figures["churn"], **told})
    # The embeddings hang on the log, not on the codebook: those of any of the runs will do.
    return [*rows, {"variant": KEPT, "seed": seed, **_kept(before, whole)}]


def _kept(before: Workspace, whole: Workspace) -> dict[str, Any]:
    """All items of ``whole`` through the codebook of ``before``."""
    codebook = load_codebook(before.codebook)
    item_ids, embeddings = read_embeddings(whole.aligned)
    latent = codebook.encode(embeddings)
    nearest = codebook.nearest(latent)
    vectors = codebook.vectors.numpy()
    codes = assign(latent.numpy(), nearest.numpy(), vectors).codes
    return {
        **compare(read_codes(before.sids), SemanticIds(item_ids, codes)).as_dict(),
        "collisions": collision_share(nearest.numpy(), vectors.shape[1])[0],
        "reconstruction": codebook.reconstruction_error(embeddings, nearest),
    }


def _run(folder: Path, settings: dict[str, object]) -> Workspace:
    # The log is cut to its 5-core already; without its new items it must not lose others to the core.
    merged = {"events.k_core": 1, "runtime.threads": 1, **settings}
    params = load_params([_RECIPE], [f"{key}={value}" for key, value in merged.items()])
    folder.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(folder)
    run_all(params, workspace, "sids")
    return workspace


def table(rows: list[dict[str, Any]]) -> Table:
    """A line per variant, means over the seeds: the share of changed items, raw → after renaming."""
    parts = [name for name, value in rows[0].items() if isinstance(value, dict)]
    printed = Table(title="share of the old items whose code changed: raw → after renaming the codes (by chance)")
    for column in ("trained again", "seeds", *parts, "collisions", "reconstruction"):
        printed.add_column(column, justify="left" if column == "trained again" else "right")
    for variant in (*TRAINED, KEPT):
        found = [row for row in rows if row["variant"] == variant]
        cells = []
        for part in parts:
            raw, aligned, chance = (mean(row[part][kind] for row in found) for kind in ("raw", "aligned", "chance"))
            cells.append(f"{raw:.1%} → {aligned:.1%} ({chance:.0%})")
        collisions, error = (mean(row[name] for row in found) for name in ("collisions", "reconstruction"))
        printed.add_row(variant, str(len(found)), *cells, f"{collisions:.1%}", f"{error:.3f}")
    return printed


def main(
    data: Annotated[Path, typer.Option(help="A folder with interactions.parquet, items.parquet and embeddings.")],
    workdir: Annotated[Path, typer.Option(help="Where the runs are kept.")] = Path("churn"),
    share: Annotated[float, typer.Option(min=0.001, max=0.9, help="Of the items, how many are new.")] = 0.05,
    seeds: Annotated[int, typer.Option(min=1)] = 1,
    kind: Annotated[str, typer.Option(help="codebook.kind; k-means knows no epochs, so `short` is as long.")] = "coba",
    json: Annotated[Path | None, typer.Option("--json", help="Write the rows there.")] = None,
) -> None:
    set_up_logging()
    rows = [row for seed in range(seeds) for row in churn(data, workdir, share, seed, kind)]
    Console(width=200).print(table(rows))
    if json:
        write_rows(json, [{"name": "churn of semantic IDs", "new_items": share, **row} for row in rows])


if __name__ == "__main__":
    typer.run(main)
