"""Work that is done in shards, each kept as soon as it is whole: what a killed run has finished is not done again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from s2gr.console import log


def in_shards(
    folder: Path, fingerprint: str, shards: int, make: Callable[[int], pa.Table], skip: Callable[[int], None]
) -> list[Path]:
    """The Parquet files of all shards below ``folder``, those that are missing made.

    Args:
        fingerprint: of all that the tables hang on; shards that were made with another one are thrown away.
        make: the table of one shard.
        skip: told of each shard that is there already.
    """
    own = folder / fingerprint
    for other in folder.glob("*"):
        if other != own:
            shutil.rmtree(other)
    own.mkdir(parents=True, exist_ok=True)
    paths = [own / f"{shard:06}.parquet" for shard in range(shards)]
    there = sum(path.exists() for path in paths)
    if there:
        log.info("%d of %d shards are there already", there, shards)
    for shard, path in enumerate(paths):
        if path.exists():
            skip(shard)
            continue
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        pq.write_table(make(shard), temporary, compression="zstd")
        os.replace(temporary, path)
    return paths


def join(paths: list[Path], target: Path) -> None:
    """Write one Parquet file of many with the same columns, one of them in memory at a time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(target, pq.read_schema(paths[0]), compression="zstd") as writer:
        for path in paths:
            with pq.ParquetFile(path) as file:
                writer.write_table(file.read())
