"""Requests per second of `s2gr serve` and their latency, from one caller to saturation, on two cores.

`python -m benchmarks.serving` makes a model of Beauty's shape (12,101 items, recipes/amazon.yaml's network, untrained:
speed hardly depends on the weights), publishes it, starts the service as a process of its own, and asks from this one.
So the two cores bear the service and its callers. It does so twice: every source of the ranking has a weight, beam 20
among them; and the beam has none, as validation chooses where it adds nothing (docs/results.md), and is not searched
for. `--workdir W` serves what is published there instead. *Closed*: so many callers, each of whom
asks again when answered. *Half of saturation*: requests come by chance at half of the best closed rate, and latency
counts from when each was due.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import torch
import typer
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.catalogue import clustered
from benchmarks.contenders import CODES, LEVELS, IntArray
from benchmarks.load import Connection, Outcome, by_chance, closed, posted
from benchmarks.report import row, write_rows
from s2gr.codebook.kmeans import residual_kmeans
from s2gr.manifest import Manifest, content_hash, hash_files
from s2gr.params import Params, load_params
from s2gr.publish.bundle import NAMES, PARAMS, files_of
from s2gr.publish.versions import new_version, switch
from s2gr.reasoner.fusion import Fusion, Weights
from s2gr.reasoner.model import S2GR, Catalogue
from s2gr.reasoner.recommender import Recommender
from s2gr.sequences import TRAIN, Sequences
from s2gr.sids.assignment import assign
from s2gr.sids.semantic_ids import SemanticIds, sid_table
from s2gr.walk import WalkCounts
from s2gr.workspace import Workspace, write_json, write_table

# Beauty's 5-core.
ITEMS, USERS, EVENTS = 12_101, 22_363, 198_502
CONCURRENCY = (1, 2, 4, 8, 16, 32, 64)
# Seconds of each measurement, after seconds that don't count; the latter half is measured so often.
SECONDS, WARM, HALVES = 5.0, 1.0, 3
ASKED = 2000
STARTS = 3
# What the ranking is fused from.
FUSED = {"every source": Weights(0.3, 0.3, 0.2, 0.2), "no weight for the beam": Weights(0.0, 0.5, 0.3, 0.2)}
_JOINING = 10.0
_RECIPE = Path(__file__).parent.parent / "recipes/amazon.yaml"


@dataclass(frozen=True)
class Catalogues:
    """A synthetic log and what was made of it."""

    sequences: Sequences
    codes: IntArray


def beauty_like() -> Catalogues:
    """Users with 5 and more events on items as unevenly popular as Beauty's, and semantic IDs that crowd as its do."""
    generator = np.random.default_rng(0)
    more = generator.geometric(1 / (EVENTS / USERS - 4), USERS) + 4
    offsets = np.concatenate([[0], np.cumsum(more)])
    popularity = np.arange(1, ITEMS + 1) ** -0.6
    items = generator.choice(ITEMS, offsets[-1], p=popularity / popularity.sum()).astype(np.int32)
    names = [f"i{item:05}" for item in range(ITEMS)]
    split = np.full(len(items), TRAIN, np.uint8)
    embeddings = clustered(ITEMS, 64, 0)
    levels = [found for found, _ in residual_kmeans(embeddings, LEVELS, CODES, 10, 0)]
    nearest = np.stack([found.labels for found in levels], axis=1).astype(np.int64)
    codes = assign(embeddings, nearest, np.stack([found.centres for found in levels])).codes
    return Catalogues(Sequences([f"u{user}" for user in range(USERS)], offsets, items, split, names), codes)


def publish_untrained(published: Path, made: Catalogues, params: Params, weights: Weights) -> None:
    """A bundle with seeded random weights."""
    torch.manual_seed(0)
    reasoner, item_ids = params.reasoner, made.sequences.item_ids
    known = torch.randn(LEVELS, reasoner.clusters, 64), torch.randint(0, reasoner.clusters, (LEVELS, CODES))
    content = torch.randn(len(item_ids), 384)
    model = S2GR(reasoner, Catalogue(torch.from_numpy(made.codes), CODES, *known, content))
    sids, counts = SemanticIds(item_ids, made.codes), WalkCounts.of(made.sequences)
    fusion = Fusion(weights, weights, 0.5)
    folder = published / ".staging"
    bundle = Workspace(folder)
    Recommender(model, sids, counts, fusion, torch.device("cpu")).save(bundle.reasoner)
    titles = [f"Title of {item_id}" for item_id in item_ids]
    write_table(pa.table({"item_id": item_ids, "title": titles, "text": titles}), bundle.items)
    write_table(sid_table(item_ids, made.codes), bundle.sids)
    write_json({"network": {"thoughts": {}}, "interventions": {}}, bundle.report("evaluation"))
    write_json({"codes": {}, "clusters": {}}, folder / NAMES)
    (folder / PARAMS).write_text(yaml.safe_dump(params.model_dump(mode="json")), encoding="utf-8")
    files = hash_files(folder, files_of(folder))
    version = new_version(published, content_hash(files))
    Manifest(version, files, {"created": "", "untrained": True}).write(folder)
    folder.rename(published / version)
    switch(published, version)


@contextmanager
def service(workdir: Path) -> Iterator[tuple[str, float]]:
    """Its address, and the seconds until its first answer."""
    command = [str(Path(sys.executable).with_name("s2gr")), "serve", "--port", "0", "--workdir", str(workdir)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split(" on ")[1].split(",")[0]
        asyncio.run(_first_answer(address))
        yield address, time.perf_counter() - started
    finally:
        process.terminate()
        process.wait()


async def _first_answer(address: str) -> None:
    status, body = await Connection(address).ask(posted("/recommend", {"history": ["nothing"]}))
    if status != 404:
        raise RuntimeError(f"the service answered {status} {body!r}")


async def measure(address: str, requests: list[bytes]) -> list[dict[str, Any]]:
    """Closed loops, then half of the best rate."""
    rows, best = [], 0.0
    # The processes that rank join after the service is up.
    await closed(address, requests, 4, _for(_JOINING))
    for callers in CONCURRENCY:
        await closed(address, requests, callers, _for(WARM))
        found = await closed(address, requests, callers, _for(SECONDS))
        best = max(best, found.rate)
        rows.append(_row(f"{callers} callers", found))
    halves = [await by_chance(address, requests, best / 2, 2 * SECONDS, seed) for seed in range(HALVES)]
    median = sorted(halves, key=lambda found: found.quantile(0.99))[HALVES // 2]
    rows.append(row("saturation, requests/s", round(best, 1)))
    p99s = [round(found.quantile(0.99), 1) for found in halves]
    rows.append(_row("half of saturation, by chance", median, p99s=p99s))
    return rows


def _for(seconds: float) -> Any:
    until = time.perf_counter() + seconds
    return lambda sent: time.perf_counter() < until


def _row(name: str, found: Outcome, **more: Any) -> dict[str, Any]:
    p50, p99 = (round(found.quantile(share), 1) for share in (0.5, 0.99))
    return row(f"{name}, requests/s", round(found.rate, 1), p50=p50, p99=p99, failed=found.failed, **more)


def requests_for(item_ids: list[str], sequences: Sequences | None) -> list[bytes]:
    """The histories of random users, or random ones of their lengths where there is no log."""
    generator = np.random.default_rng(1)
    asked = []
    for user in generator.integers(0, USERS, ASKED):
        if sequences is None:
            history = generator.choice(item_ids, 4 + generator.geometric(1 / 5)).tolist()
        else:
            history = [item_ids[item] for item in sequences.items[slice(*sequences.offsets[user : user + 2])]]
        asked.append(posted("/recommend", {"history": history, "k": 10}))
    return asked


def served(workdir: Path, name: str, sequences: Sequences | None) -> list[dict[str, Any]]:
    """Rows of what is published in ``workdir``."""
    item_ids = Recommender.load(workdir / "models/published/current").item_ids
    requests = requests_for(item_ids, sequences)
    starts = []
    for _ in range(STARTS - 1):
        with service(workdir) as (_, seconds):
            starts.append(seconds)
    with service(workdir) as (address, seconds):
        starts.append(seconds)
        rows = asyncio.run(measure(address, requests))
    told = f"seconds from starting the process to its first answer, {len(item_ids):,} items"
    rows.append(row(told, round(statistics.median(starts), 2)))
    return [each | {"name": f"{name}: {each['name']}"} for each in rows]


def main(
    workdir: Annotated[Path | None, typer.Option(help="Serve what is published in this work folder instead.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the rows there.")] = None,
) -> None:
    """Measure the service under rising load."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    with tempfile.TemporaryDirectory() as temporary:
        if workdir is not None:
            rows = served(workdir, "as published", None)
        else:
            made, rows = beauty_like(), []
            params = load_params([_RECIPE], ["content.kind=tfidf", "runtime.threads=1"])
            for name, weights in FUSED.items():
                folder = Path(temporary) / name
                publish_untrained(folder / "models/published", made, params, weights)
                rows += served(folder, name, made.sequences)
    table = Table("what", "ours", "p50 ms", "p99 ms", "failed", box=None)
    for entry in rows:
        table.add_row(entry["name"], *(str(entry.get(key, "")) for key in ("ours", "p50", "p99", "failed")))
    Console(width=120).print(table)
    if json_file:
        write_rows(json_file, rows)


if __name__ == "__main__":
    typer.run(main)
