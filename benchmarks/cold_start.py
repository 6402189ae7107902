"""Do new items come up without retraining, for those who go on to meet them, and what does it cost the others?

`python -m benchmarks.cold_start --data FOLDER` trains on a log without a random 5 % of the items (recipes/amazon.yaml),
gives these semantic IDs (`s2gr assign`), publishes, and ranks the whole catalogue for users of the whole log who have
met one of them: history is what the user met before, target the first new item. Beside it stands the recall of the
test targets, all of them old items. Both as ranked, and with places for new items (`fresh`). What is finished is not
run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.churn import without_new_items
from benchmarks.report import row, write_rows
from s2gr.assign import assign_new
from s2gr.console import set_up_logging
from s2gr.new_sids import new_sids_path
from s2gr.params import Params, load_params
from s2gr.pipeline import run_all
from s2gr.publish.publishing import publish
from s2gr.reasoner.recommender import BEAM, IntArray, Recommender, with_fresh
from s2gr.workspace import Workspace, read_table

FRESH = (0, 1, 2, 3)
_K, _USERS = 10, 2000
_BATCH = 256
_RECIPE = Path(__file__).parent.parent / "recipes/amazon.yaml"


@dataclass(frozen=True)
class Cases:
    """Histories, and what came next."""

    histories: list[IntArray]
    targets: IntArray

    def recall(self, recommender: Recommender) -> list[float]:
        """For each of ``FRESH`` the share of the targets among the ten items, without what was met."""
        order = np.random.default_rng(0).permutation(len(self.histories))[:_USERS]
        order = order[np.argsort([len(self.histories[index]) for index in order], kind="stable")]
        hits = [0] * len(FRESH)
        for start in range(0, len(order), _BATCH):
            some = order[start : start + _BATCH]
            histories = [self.histories[index] for index in some]
            lengths = np.array([len(history) for history in histories])
            padded = np.full((len(some), lengths.max()), -1)
            for place, history in zip(padded, histories, strict=True):
                place[: len(history)] = history
            unmet = [recommender.all_but_unmet(history) for history in histories]
            best, among = (
                recommender.described(recommender.rank(padded, lengths, _K, BEAM, exclude))
                for exclude in (histories, unmet)
            )
            for index, usual, new in zip(some, best, among, strict=True):
                target = recommender.item_ids[self.targets[index]]
                for place, fresh in enumerate(FRESH):
                    hits[place] += any(item.item_id == target for item in with_fresh(usual, new, _K, fresh))
        return [hit / len(order) for hit in hits]


def before_the_new(data: Path, recommender: Recommender, old: int) -> Cases:
    """Of each user who has met a new item: what was met before the first of them, and that one."""
    table = pq.read_table(data / "interactions.parquet", columns=["user_id", "item_id", "timestamp"])
    users = table["user_id"].to_numpy(zero_copy_only=False).astype(str)
    order = np.lexsort((table["timestamp"].to_numpy(), users))
    items = [str(item_id) for item_id in table["item_id"].to_pylist()]
    histories, targets, history, done = [], [], list[int](), False
    for before, index in zip([None, *order[:-1]], order, strict=True):
        if before is None or users[before] != users[index]:
            history, done = [], False
        known = recommender.row_of.get(items[index])
        if known is None or done:
            continue
        if known >= old:
            done = True
            if history:
                histories.append(np.array(history))
                targets.append(known)
        else:
            history.append(known)
    return Cases(histories, np.array(targets))


def test_targets(workspace: Workspace, recommender: Recommender) -> Cases:
    """The last event of each user, as the evaluation has it."""
    table = read_table(workspace.events, ["user_id", "item_id", "split"])
    rows = np.array([recommender.row_of[item] for item in table["item_id"].to_pylist()])
    users = table["user_id"].to_numpy(zero_copy_only=False).astype(str)
    starts = np.flatnonzero(np.r_[True, users[1:] != users[:-1]])
    split = table["split"].to_pylist()
    ends = np.append(starts[1:], len(users)) - 1
    kept = [(start, end) for start, end in zip(starts, ends, strict=True) if split[end] == "test"]
    return Cases([rows[start:end] for start, end in kept], np.array([rows[end] for _, end in kept]))


def measure(data: Path, workspace: Workspace) -> list[dict[str, Any]]:
    """A row for each number of fresh places."""
    recommender = Recommender.load(workspace.published / "current")
    old = len(read_table(workspace.items, ["item_id"]))
    asked, usual = before_the_new(data, recommender, old), test_targets(workspace, recommender)
    told = {
        "users": min(len(asked.targets), _USERS),
        "catalogue": len(recommender.item_ids),
        "new": len(recommender.item_ids) - old,
    }
    found = zip(FRESH, asked.recall(recommender), usual.recall(recommender), strict=True)
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
