"""Do new items come up without retraining, for those who go on to meet them, and what does it cost the others?

`python -m benchmarks.cold_start --data FOLDER` trains on a log without a random 5 % of the items (recipes/amazon.yaml),
gives these semantic IDs (`s2gr assign`), publishes, and ranks the whole catalogue for users of the whole log who have
met one of them: history is what the user met before, target the first new item. Beside it stands the recall of the
test targets, all of them old items. Both as ranked, and with places for new items (`fresh`). What is finished is not
run again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.churn import without_new_items
from benchmarks.report import row, write_rows
from s2gr.assign import assign_new
from s2gr.cases import Cases, build_cases
from s2gr.console import set_up_logging
from s2gr.metrics import hits, ranks_in_list
from s2gr.new_sids import new_sids_path
from s2gr.params import Params, load_params
from s2gr.pipeline import run_all
from s2gr.publish.publishing import publish
from s2gr.publish.since import Since, known_cases
from s2gr.reasoner.recommender import BEAM, Recommender, with_fresh
from s2gr.sequences import load_sequences
from s2gr.workspace import Workspace, read_table

FRESH = (0, 1, 2, 3)
_K, _USERS = 10, 2000
_BATCH = 256
_RECIPE = Path(__file__).parent.parent / "recipes/amazon.yaml"


def recall(recommender: Recommender, cases: Cases) -> list[float]:
    """For each of ``FRESH`` the share of the targets among the ten items, without what was met."""
    asked = cases.take(np.random.default_rng(0).permutation(len(cases))[:_USERS]).by_length()
    lists = np.full((len(FRESH), len(asked), _K), -1)
    done = 0
    for batch in asked.batches(_BATCH):
        met = batch.seen()
        unmet = [recommender.all_but_unmet(history) for history in met]
        best, among = (
            recommender.described(recommender.rank(batch.histories, batch.lengths, _K, BEAM, exclude))
            for exclude in (met, unmet)
        )
        for index, (usual, new) in enumerate(zip(best, among, strict=True), start=done):
            for place, fresh in enumerate(FRESH):
                rows = [recommender.row_of[item.item_id] for item in with_fresh(usual, new, _K, fresh)]
                lists[place, index, : len(rows)] = rows
        done += len(batch)
    return [float(hits(ranks_in_list(found, asked.targets), _K).mean()) for found in lists]


def before_the_new(data: Path, recommender: Recommender, old: int) -> Cases:
    """Of each user who has met a new item: what was met before the first of them, and that one."""
    table = pq.read_table(data / "interactions.parquet", columns=["user_id", "item_id", "timestamp"])
    users = np.unique(table["user_id"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)[1]
    order = np.lexsort((table["timestamp"].to_numpy(), users))
    users, item_ids = users[order], table["item_id"].cast(pa.string()).take(pa.array(order)).combine_chunks()
    new = np.flatnonzero(pc.is_in(item_ids, pa.array(recommender.item_ids[old:])).to_numpy(zero_copy_only=False))
    first = new[np.unique(users[new], return_index=True)[1]]
    return known_cases(Since(users, item_ids, first), recommender.item_ids, recommender.model.params.history)[0]


def measure(data: Path, workspace: Workspace) -> list[dict[str, Any]]:
    """A row for each number of fresh places."""
    recommender = Recommender.load(workspace.published / "current")
    old = len(read_table(workspace.items, ["item_id"]))
    asked = before_the_new(data, recommender, old)
    usual = build_cases(load_sequences(workspace.events, workspace.items), "test", recommender.model.params.history)
    told = {
        "users": min(len(asked.targets), _USERS),
        "catalogue": len(recommender.item_ids),
        "new": len(recommender.item_ids) - old,
    }
    found = zip(FRESH, recall(recommender, asked), recall(recommender, usual), strict=True)
    return [row(f"fresh {fresh}: recall@10 of new targets", new, others=others, **told) for fresh, new, others in found]


def prepare(data: Path, workdir: Path, share: float, seed: int, params: Params) -> Workspace:
    """A published model that knows the left-out items from `s2gr assign` alone."""
    source = workdir / "data"
    without_new_items(data, source, share, seed)
    workspace = Workspace(workdir / "work")
    workspace.root.mkdir(parents=True, exist_ok=True)
    params = params.model_copy(update={"source": params.source.model_copy(update={"path": source.absolute()})})
    run_all(params, workspace)
    if not new_sids_path(workspace).exists():
        assign_new(workspace, params, left_out(data, source, workdir, params))
    publish(workspace, params)
    return workspace


def left_out(data: Path, source: Path, workdir: Path, params: Params) -> Path:
    """The new items with their vectors, if the content is precomputed, else with their texts."""
    items, kept = (pq.read_table(folder / "items.parquet") for folder in (data, source))
    known = set(kept["item_id"].to_pylist())
    table = items.filter([item_id not in known for item_id in items["item_id"].to_pylist()])
    if params.content.kind == "precomputed":
        names = (data / "embeddings_item_ids.txt").read_text(encoding="utf-8").split()
        rows = {name: number for number, name in enumerate(names)}
        vectors = np.load(data / "embeddings.npy")[[rows[str(item)] for item in table["item_id"].to_pylist()]]
        table = table.append_column("embedding", [vectors.astype(np.float32).tolist()])
    path = workdir / "new.parquet"
    pq.write_table(table, path)
    return path


def main(
    data: Annotated[Path, typer.Option(help="A folder with interactions.parquet and items.parquet.")],
    workdir: Annotated[Path, typer.Option(help="Where the run is kept.")] = Path("cold_start"),
    share: Annotated[float, typer.Option(min=0.001, max=0.9, help="Of the items, how many are new.")] = 0.05,
    seed: int = 0,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows there.")] = None,
) -> None:
    """Measure how new items are recommended."""
    set_up_logging()
    merged = ["runtime.threads=1", "events.k_core=1", f"source.path={data}", *(settings or [])]
    rows = measure(data, prepare(data, workdir, share, seed, load_params([_RECIPE], merged)))
    table = Table(title="{users:,} users, {new:,} new of {catalogue:,} items".format(**rows[0]))
    for column in ("fresh", "recall@10 of new targets", "by chance", "recall@10 of the others"):
        table.add_column(column)
    for fresh, entry in zip(FRESH, rows, strict=True):
        chance = fresh / entry["new"]
        table.add_row(str(fresh), f"{entry['ours']:.4f}", f"{chance:.4f}", f"{entry['others']:.4f}")
    Console(width=120).print(table)
    if json_file:
        write_rows(json_file, rows)


if __name__ == "__main__":
    typer.run(main)
