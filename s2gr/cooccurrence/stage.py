"""Stage ``cooccurrence``: training events → pair counts → content aligned with collaboration (docs/method.md §1).

Only the training split is counted. The paper leaves open whether H_align is normalised; here its rows are scaled to
unit length, so that the codebook quantises directions and an item's popularity does not show in its vector's length.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from s2gr.cooccurrence.propagation import Matrix, propagate, symmetric_adjacency
from s2gr.database import database, one_file, one_row, sql
from s2gr.embeddings import embedding_matrix, embedding_table, has_direction, unit_rows
from s2gr.errors import UserError
from s2gr.params import Cooccurrence, Params, Runtime
from s2gr.stage import Metrics
from s2gr.workspace import Workspace, read_table, readable_artefact, write_table


def run(params: Params, inputs: Workspace, outputs: Workspace) -> Metrics:
    """Write ``cooccurrence.parquet`` and ``aligned.parquet``.

    Raises: UserError: an artefact of an earlier stage is missing or disagrees with the others.
    """
    section = params.cooccurrence
    item_ids = read_table(inputs.items, ["item_id"])["item_id"]
    table = read_table(inputs.content, ["item_id", "embedding"])
    if not table["item_id"].equals(item_ids):
        raise UserError(f"{inputs.content} and {inputs.items} hold different items; run the stage `content` again")
    content = embedding_matrix(table)

    pairs = count_pairs(inputs.events, inputs.items, section, params.runtime, inputs.state)
    first, second, counts = (pairs[name].to_numpy() for name in ("a", "b", "count"))
    named = {"item_a": pc.take(item_ids, pairs["a"]), "item_b": pc.take(item_ids, pairs["b"]), "count": pairs["count"]}
    write_table(pa.table(named), outputs.cooccurrence)

    adjacency = symmetric_adjacency(first, second, counts, len(item_ids))
    aligned = align(content, propagate(content, adjacency, section.teleport, section.steps))
    write_table(embedding_table(item_ids, aligned), outputs.aligned)
    neighbours = np.diff(adjacency.indptr)
    return {
        "pairs": len(pairs),
        "pair_occurrences": int(counts.sum()),
        "items_without_edge": int((neighbours == 0).sum()),
        "mean_neighbours": float(neighbours.mean()),
        "max_count": int(counts.max()) if len(counts) else 0,
        # How far the graph moved the items: 1 = not at all.
        "mean_cosine_to_content": float(np.einsum("id,id->i", content, aligned, dtype=np.float64).mean()),
    }


def count_pairs(events: Path, items: Path, section: Cooccurrence, runtime: Runtime, state: Path) -> pa.Table:
    """Columns ``a < b`` (int32 rows of ``items``) and ``count`` (int64), sorted, for the window of ``section``."""
    timed = section.window_hours is not None
    readable_artefact(events, ["user_id", "item_id", "position", "split", *(["timestamp"] if timed else [])])
    with database(runtime, state) as connection:
        window = min(section.window, _longest_distance(events, connection))
        query = sql(__file__, "counts.sql").format(
            window=window,
            events=one_file(events),
            items=one_file(readable_artefact(items, ["item_id"])),
            limit=f" and {section.window_hours} hours" if timed else "",
            instant=", epoch_us(timestamp) AS instant" if timed else "",
            leads=", ".join(_lead(distance, section.window_hours) for distance in range(1, window + 1)),
        )
        return connection.sql(query).to_arrow_table()


def _longest_distance(events: Path, connection: duckdb.DuckDBPyConnection) -> int:
    """Positions from the first to the last training event of the longest history, at least 1.

    A wider window holds no more pairs, and the time to plan the query would grow with its square.
    """
    query = f"SELECT max(position) AS last FROM read_parquet({one_file(events)}) WHERE split = 'train'"
    return max(one_row(connection, query, {})["last"] or 0, 1)


def _lead(distance: int, hours: float | None) -> str:
    """SQL for the item ``distance`` positions on; NULL, which pairs with nothing, if it is over ``hours`` later."""
    item = f"lead(item, {distance}) OVER history"
    if hours is None:
        return item
    # Events of one instant are 0 apart: a window of 0 hours holds what came at once.
    return f"CASE WHEN lead(instant, {distance}) OVER history - instant <= {round(hours * 3.6e9)} THEN {item} END"


def align(content: Matrix, propagated: Matrix) -> Matrix:
    """``propagated`` with unit rows; rows that propagation left alone, or cancelled out, are those of ``content``."""
    moved = has_direction(propagated) & (propagated != content).any(axis=1)
    return np.where(moved[:, None], unit_rows(propagated), content)
