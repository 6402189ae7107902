"""How often two items lie at most W positions apart in a training history: the pipeline's query beside what a person
would write by hand.

`python -m benchmarks.pair_counts NAME --folder W` runs one contender on the log in `W/data` in a process whose peak
memory is its own, and prints what it took as JSON. Each makes the same table: item_a < item_b (ids), count, sorted.
:mod:`benchmarks.ingestion` calls it.
"""

from __future__ import annotations

import importlib
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer
from scipy import sparse

from s2gr.cooccurrence.stage import count_pairs
from s2gr.params import Cooccurrence, Runtime
from s2gr.workspace import Workspace

WINDOW = Cooccurrence().window
Counter = Callable[[Workspace, int], pa.Table]

_LEADS = ", ".join(f"lead({{item}}, {distance}) OVER history" for distance in range(1, WINDOW + 1))


def pipeline(workspace: Workspace, threads: int) -> pa.Table:
    """As the stage `cooccurrence` does it, names and all."""
    runtime = Runtime(threads=threads)
    pairs = count_pairs(workspace.events, workspace.items, Cooccurrence(), runtime, workspace.state)
    ids = pq.read_table(workspace.items, columns=["item_id"])["item_id"]
    return pa.table({"item_a": pc.take(ids, pairs["a"]), "item_b": pc.take(ids, pairs["b"]), "count": pairs["count"]})


def duckdb_lead(workspace: Workspace, threads: int) -> pa.Table:
    """LEAD over the ids themselves."""
    return _by_hand(
        threads,
        f"""
        SELECT least(item, other) AS item_a, greatest(item, other) AS item_b, count(*) AS count
        FROM (
            SELECT item_id AS item, unnest([{_LEADS.format(item="item_id")}]) AS other
            FROM '{workspace.events}' WHERE split = 'train'
            WINDOW history AS (PARTITION BY user_id ORDER BY position)
        )
        WHERE item <> other GROUP BY ALL ORDER BY ALL""",
    )


def duckdb_lead_integers(workspace: Workspace, threads: int) -> pa.Table:
    """LEAD over integers that stand for the ids, which are put back at the end."""
    return _by_hand(
        threads,
        f"""
        WITH ids AS MATERIALIZED (
            SELECT item_id, CAST(row_number() OVER (ORDER BY item_id) AS INTEGER) AS item
            FROM (SELECT DISTINCT item_id FROM '{workspace.events}' WHERE split = 'train')
        ),
        users AS (
            SELECT user_id, CAST(row_number() OVER () AS INTEGER) AS user
            FROM (SELECT DISTINCT user_id FROM '{workspace.events}' WHERE split = 'train')
        ),
        pairs AS (
            SELECT item, unnest([{_LEADS.format(item="item")}]) AS other
            FROM '{workspace.events}' JOIN ids USING (item_id) JOIN users USING (user_id) WHERE split = 'train'
            WINDOW history AS (PARTITION BY user ORDER BY position)
        ),
        counted AS (
            SELECT least(item, other) AS a, greatest(item, other) AS b, count(*) AS count
            FROM pairs WHERE item <> other GROUP BY ALL
        )
        SELECT first.item_id AS item_a, second.item_id AS item_b, count
        FROM counted JOIN ids AS first ON a = first.item JOIN ids AS second ON b = second.item ORDER BY a, b""",
    )


def duckdb_join(workspace: Workspace, threads: int) -> pa.Table:
    """The textbook form: the log joined with itself."""
    return _by_hand(
        threads,
        f"""
        WITH train AS (SELECT user_id, item_id, position FROM '{workspace.events}' WHERE split = 'train')
        SELECT least(a.item_id, b.item_id) AS item_a, greatest(a.item_id, b.item_id) AS item_b, count(*) AS count
        FROM train AS a
        JOIN train AS b ON a.user_id = b.user_id AND b.position BETWEEN a.position + 1 AND a.position + {WINDOW}
        WHERE a.item_id <> b.item_id GROUP BY ALL ORDER BY ALL""",
    )


def polars(workspace: Workspace, threads: int) -> pa.Table:
    """Shifted columns, stacked. Its threads are set by POLARS_MAX_THREADS."""
    pl = importlib.import_module("polars")
    train = pl.scan_parquet(workspace.events).filter(pl.col("split") == "train")
    # Integers for the ids, in the ids' order.
    ids = train.select(pl.col("item_id").unique().sort()).with_row_index("item").collect()
    coded = train.join(ids.lazy(), on="item_id").sort("user_id", "position").select("user_id", "item").collect()
    here, user = pl.col("item"), pl.col("user_id")
    pairs = pl.concat(
        coded.lazy()
        .select(here, other=here.shift(-distance), same=user == user.shift(-distance))
        .filter(pl.col("same") & (here != pl.col("other")))
        .select(a=pl.min_horizontal("item", "other"), b=pl.max_horizontal("item", "other"))
        for distance in range(1, WINDOW + 1)
    )
    counted = pairs.group_by("a", "b").agg(count=pl.len()).sort("a", "b").collect()
    names = ids["item_id"]
    found = pl.DataFrame({"item_a": names[counted["a"]], "item_b": names[counted["b"]], "count": counted["count"]})
    return found.to_arrow()


def scipy(workspace: Workspace, threads: int) -> pa.Table:
    """A sparse matrix of shifted codes, on one thread."""
    log = pq.read_table(workspace.events, columns=["user_id", "item_id", "split"])
    train = log.filter(pc.equal(log["split"], "train"))
    user, item = (train[name].combine_chunks().dictionary_encode() for name in ("user_id", "item_id"))
    names, codes = item.dictionary.to_numpy(zero_copy_only=False), item.indices.to_numpy()
    order = np.argsort(names.astype(str))
    ranks = np.empty(len(names), np.int32)
    ranks[order] = np.arange(len(names))
    users, items = user.indices.to_numpy(), ranks[codes]
    total = sparse.csr_array((len(names), len(names)), dtype=np.int64)
    for distance in range(1, WINDOW + 1):
        here, there = items[:-distance], items[distance:]
        kept = (users[:-distance] == users[distance:]) & (here != there)
        a, b = np.minimum(here[kept], there[kept]), np.maximum(here[kept], there[kept])
        total = total + sparse.coo_array((np.ones(len(a), np.int64), (a, b)), shape=total.shape).tocsr()
    total.sort_indices()
    found, sorted_names = total.tocoo(), names[order]
    return pa.table({"item_a": sorted_names[found.row], "item_b": sorted_names[found.col], "count": found.data})


def _by_hand(threads: int, query: str) -> pa.Table:
    with duckdb.connect(config={"threads": threads, "memory_limit": "3GiB"}) as connection:
        return connection.sql(query).to_arrow_table()


CONTENDERS: dict[str, Counter] = {
    "pipeline": pipeline,
    "duckdb_lead": duckdb_lead,
    "duckdb_lead_integers": duckdb_lead_integers,
    "duckdb_join": duckdb_join,
    "polars": polars,
    "scipy": scipy,
}


def digest_of(pairs: pa.Table) -> tuple[int, int, list[str]]:
    """Pairs, occurrences, and the pairs that begin and end the table: what all contenders must agree on."""
    ends = [*pairs.slice(0, 2).to_pylist(), *pairs.slice(max(0, len(pairs) - 2)).to_pylist()]
    return len(pairs), int(pc.sum(pairs["count"]).as_py()), [f"{row}" for row in ends]


def _warm_up(contender: Counter, workspace: Workspace, threads: int) -> None:
    """Once on a few rows: libraries that are imported late are not imported while the clock runs."""
    with tempfile.TemporaryDirectory() as name:
        small = Workspace(Path(name))
        small.events.parent.mkdir(parents=True)
        rows = next(pq.ParquetFile(workspace.events).iter_batches(1000))
        pq.write_table(pa.Table.from_batches([rows]), small.events)
        pq.write_table(pq.read_table(workspace.items), small.items)
        contender(small, threads)


def main(
    name: Annotated[str, typer.Argument(help=", ".join(CONTENDERS))],
    folder: Annotated[Path, typer.Option(help="The workspace whose log is read.")],
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    contender = CONTENDERS[name]
    _warm_up(contender, Workspace(folder), threads)
    wall, cpu = time.perf_counter(), time.process_time()
    pairs = contender(Workspace(folder), threads)
    told = {
        "seconds": round(time.perf_counter() - wall, 3),
        "cpu_seconds": round(time.process_time() - cpu, 3),
        # Linux counts KiB.
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
        "digest": digest_of(pairs),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    typer.run(main)
