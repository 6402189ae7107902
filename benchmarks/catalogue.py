"""One catalogue from embeddings to unique semantic IDs, in a process whose peak memory is its own.

`python -m benchmarks.catalogue --folder F` reads `F/embeddings.npy` as a memory map and `F/codebook`, and prints
what it took as JSON. :mod:`benchmarks.codebook` makes both and calls it.
"""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from s2gr.codebook.loading import load_codebook
from s2gr.embeddings import Matrix, unit_rows
from s2gr.sids.assignment import assign
from s2gr.sids.prefixes import prefix_ids

_CHUNK = 50_000
# Topics, and kinds within a topic: items crowd together on several scales.
_TOPICS, _KINDS = 64, 64


def clustered(rows: int, dim: int, seed: int) -> Matrix:
    """Synthetic item embeddings, float32 ``[rows, dim]`` of unit norm: popular and rare topics around a common mean."""
    shared = np.random.default_rng(12)
    topics = shared.normal(size=(_TOPICS, dim)).astype(np.float32)
    kinds = shared.normal(size=(_TOPICS, _KINDS, dim)).astype(np.float32)
    popularity = 1 / np.arange(1, _TOPICS + 1)
    generator = np.random.default_rng(seed)
    topic = generator.choice(_TOPICS, rows, p=popularity / popularity.sum())
    kind = generator.integers(_KINDS, size=rows)
    noise = generator.standard_normal((rows, dim), dtype=np.float32)
    return unit_rows(1 + topics[topic] + 0.7 * kinds[topic, kind] + 0.7 * noise)


def write_catalogue(path: Path, items: int, dim: int) -> None:
    """``items`` rows of :func:`clustered` as float16 .npy, written chunk by chunk."""
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(items, dim))
    for start in range(0, items, _CHUNK):
        rows[start : start + _CHUNK] = clustered(min(_CHUNK, items - start), dim, seed=start)
    rows.flush()


def main(
    folder: Annotated[Path, typer.Option(help="Holds embeddings.npy and codebook/.")],
    threads: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    torch.set_num_threads(threads)
    embeddings = np.load(folder / "embeddings.npy", mmap_mode="r")
    codebook = load_codebook(folder / "codebook")
    marks = [time.perf_counter()]
    processor = time.process_time()
    latent = codebook.encode(embeddings)
    marks.append(time.perf_counter())
    nearest = codebook.nearest(latent)
    marks.append(time.perf_counter())
    found = assign(latent.numpy(), nearest.numpy(), codebook.vectors.numpy())
    marks.append(time.perf_counter())
    processor = time.process_time() - processor
    # Linux counts KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    encode, choose, match = np.diff(marks)
    told = {
        "seconds": round(marks[-1] - marks[0], 2),
        "encode_seconds": round(float(encode), 2),
        "nearest_seconds": round(float(choose), 2),
        "assign_seconds": round(float(match), 2),
        "cpu_seconds": round(processor, 2),
        "peak_gb": round(peak, 3),
        "moved": found.moved,
        "rerouted": found.rerouted,
        "unique": len(np.unique(prefix_ids(found.codes, codebook.vectors.shape[1]))),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    typer.run(main)
