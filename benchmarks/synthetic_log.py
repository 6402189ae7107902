"""A made-up event log of any size, written as it is made: popular and rare items, sessions, ties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# Events that are made at once.
_CHUNK = 500_000
_START = 1_600_000_000  # seconds since 1970
_YEAR = 365 * 24 * 3600
# Mean events of a user, and of one sitting; the share of events that come at the second of the one before.
_LENGTH, _SITTING, _TIED = 25, 5, 0.3
_EXPONENT = 0.9  # of the items' Zipf law: the most popular hundredth of 100,000 has 46 % of the events


def write_log(path: Path, events: int, items: int, seed: int = 0) -> None:
    """``events`` rows (user_id, item_id, timestamp in seconds), in the order of users' sittings, not of time."""
    shares = 1.0 / np.arange(1, items + 1) ** _EXPONENT
    cumulated = np.cumsum(shares / shares.sum())
    schema = pa.schema({"user_id": pa.string(), "item_id": pa.string(), "timestamp": pa.int64()})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, events, _CHUNK):
            rows = min(_CHUNK, events - start)
            writer.write_table(_chunk(rows, start, events, cumulated, seed).cast(schema))


def _chunk(rows: int, start: int, events: int, cumulated: np.ndarray, seed: int) -> pa.Table:
    generator = np.random.default_rng([seed, start])
    sittings = max(1, rows // _SITTING)
    # Anybody may sit down at any time: the users of a chunk are not its own.
    user = generator.integers(max(1, events // _LENGTH), size=sittings)
    begins = _START + generator.integers(2 * _YEAR, size=sittings)
    sitting = np.sort(generator.integers(sittings, size=rows))
    gaps = np.where(generator.random(rows) < _TIED, 0, generator.integers(1, 300, size=rows))
    # Seconds since the sitting began: the running sum, less what it was at the sitting's first event.
    running = np.cumsum(gaps)
    first = np.searchsorted(sitting, sitting)
    item = np.searchsorted(cumulated, generator.random(rows))
    return pa.table(
        {
            "user_id": np.char.add("u", user[sitting].astype(str)),
            "item_id": np.char.add("i", np.minimum(item, len(cumulated) - 1).astype(str)),
            "timestamp": begins[sitting] + running - running[first],
        }
    )
