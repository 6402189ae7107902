"""How fast the codebook is trained, and how fast a catalogue of a million items gets its semantic IDs.

`python -m benchmarks.codebook` trains our RQ-VAE (CoBa, as the stage does) and those of cornac and
vector-quantize-pytorch in turns, at equal widths, batch size and threads, on synthetic items or on those of
`--data FOLDER` (with `embeddings.npy`, or a work folder of `s2gr run`), and prints the medians of items per second, by
the clock and by the processor time used (which other work on the machine disturbs less). Then a process of its own
encodes 1,000,000 synthetic items of 384 dimensions and assigns them unique semantic IDs.
"""

from __future__ import annotations

import json as json_format
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.catalogue import clustered, write_catalogue
from benchmarks.quantizers import BATCH, PEERS, Training, ours
from benchmarks.report import commit, machine, row, write_rows
from s2gr.codebook.rqvae import RQVAE
from s2gr.console import log
from s2gr.embeddings import Matrix, read_embeddings
from s2gr.errors import UserError
from s2gr.params import Codebook
from s2gr.runtime import processor_has_bf16
from s2gr.workspace import Workspace

# Ours, and cornac's default.
WIDTHS = ((256, 128), (512, 256, 128))
DIM = 384


@dataclass(frozen=True)
class Speed:
    """Items per second: medians over the repetitions."""

    clock: float
    processor: float


def training_rows(
    items: Matrix, hidden: Sequence[int], threads: int, epochs: int, repeats: int
) -> list[dict[str, Any]]:
    """Ours against each peer that is installed, and against the faster one."""
    contenders = {"32-true": ours(items, hidden, "32-true", threads)}
    if processor_has_bf16():
        contenders["bf16-mixed"] = ours(items, hidden, "bf16-mixed", threads)
    peers = {}
    for name, (build, package) in PEERS.items():
        if find_spec(package) is None:
            # No markup: [peers] is no style.
            told = f"{name}: left out, {package} is not installed (`pip install s2gr[peers]`)"
            Console(width=180).print(told, markup=False)
        else:
            peers[name] = build(items, hidden)
    speeds = alternating({**contenders, **peers}, len(items), epochs, repeats)
    widths = "-".join(str(width) for width in (items.shape[1], *hidden, 32))
    rows = []
    for precision in contenders:
        own = speeds[precision]
        title = f"training, items/s, {widths}, batch {BATCH}, {threads} threads, {precision}"
        for name in peers or ["no peer"]:
            peer = speeds.get(name)
            by_processor = round(own.processor / peer.processor, 3) if peer else None
            measured = {"ours_cpu": own.processor, "peer_cpu": peer.processor if peer else None}
            rows.append(
                row(title, own.clock, peer.clock if peer else None, peer_name=name, ratio_cpu=by_processor, **measured)
            )
    return rows


def alternating(contenders: Mapping[str, Training], items: int, epochs: int, repeats: int) -> dict[str, Speed]:
    """Each contender trains in turn, ``repeats`` times over, after one epoch that does not count."""
    for train in contenders.values():
        train(1)
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, train in contenders.items():
            clock, processor = time.perf_counter(), time.process_time()
            train(epochs)
            seen[name].append((time.perf_counter() - clock, time.process_time() - processor))
    return {
        name: Speed(*(round(items * epochs / median(column)) for column in zip(*times, strict=True)))
        for name, times in seen.items()
    }


def catalogue_rows(items: int, threads: int) -> list[dict[str, Any]]:
    """Encode and assign ``items`` synthetic items in a process of its own: seconds and peak memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_catalogue(folder / "embeddings.npy", items, DIM)
        sample = np.load(folder / "embeddings.npy", mmap_mode="r")[:: max(1, items // 20_000)].astype(np.float32)
        _trained(sample, threads).save(folder / "codebook")
        arguments = ["--folder", str(folder), "--threads", str(threads)]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.catalogue", *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise UserError(f"the assignment of {items} items failed:\n{done.stderr}")
        measured = json_format.loads(done.stdout)
    return [row(f"{items:,} items × {DIM} → semantic IDs, seconds", measured["seconds"], None, **measured)]


def _trained(sample: Matrix, threads: int) -> RQVAE:
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = RQVAE(sample.shape[1], Codebook(kind="coba", warmup=0.0))
    model.measure(sample)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0)
    for epoch in range(3):
        model.begin_epoch(epoch, sample, seed=0)
        for batch in torch.from_numpy(sample).split(BATCH):
            model(batch)["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
    return model


def read_items(data: Path | None, quick: bool) -> Matrix:
    """The items to train on: of ``data``, else synthetic ones."""
    if data is None:
        return clustered(4_096 if quick else 20_480, DIM, seed=0)
    if (data / "embeddings.npy").exists():
        return np.load(data / "embeddings.npy").astype(np.float32)
    return read_embeddings(Workspace(data).aligned)[1]


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    printed = Table(title=f"codebook, {machine()}, commit {commit()}")
    for column in ("", "ours", "peer", "ratio", "by processor time", "beside"):
        printed.add_column(column, justify="left" if column in ("", "beside") else "right")
    for found in rows:
        cells = [_number(found.get(key)) for key in ("ours", "peer", "ratio", "ratio_cpu")]
        beside = found.get("peer_name") or f"peak {found['peak_gb']:.2f} GB, {found['cpu_seconds']:.0f} s of processor"
        printed.add_row(found["name"], *cells, beside)
    return printed


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}" if value < 1000 else f"{value:,.0f}"


def main(
    data: Annotated[Path | None, typer.Option(help="Train on the embeddings of this folder.")] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the rows there.")] = None,
    quick: Annotated[bool, typer.Option(help="Small sizes, to see that it runs.")] = False,
    threads: Annotated[int, typer.Option(min=1)] = 2,
    catalogue: Annotated[int, typer.Option(min=0, help="Items to assign; 0 leaves that part out.")] = 1_000_000,
) -> None:
    # Each short training would report its epochs.
    log.setLevel("WARNING")
    items = read_items(data, quick)
    rows = []
    for hidden in WIDTHS[:1] if quick else WIDTHS:
        rows += training_rows(items, hidden, threads, epochs=1 if quick else 3, repeats=2 if quick else 7)
    if catalogue:
        rows += catalogue_rows(min(catalogue, 20_000) if quick else catalogue, threads)
    Console(width=180).print(table(rows))
    if json:
        write_rows(json, rows)


if __name__ == "__main__":
    typer.run(main)
