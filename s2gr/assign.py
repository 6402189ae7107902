"""Semantic IDs for items that came after training: content → frozen codebook → free ID, everything else as it was.

A new item has no co-occurrence, so its aligned embedding is its content embedding, as for every item of the catalogue
without an edge (docs/method.md §1).
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from s2gr.codebook.loading import load_codebook
from s2gr.content.frozen import FrozenContent, content_model, load_content_model
from s2gr.content.precomputed import read_parquet_vectors, row_of, unit_vectors
from s2gr.database import database
from s2gr.embeddings import Matrix
from s2gr.errors import UserError
from s2gr.new_sids import NewSids, new_sids_path, read_new_sids, write_new_sids
from s2gr.params import Params
from s2gr.runtime import prepare_torch
from s2gr.sids.assignment import Assignment, assign
from s2gr.sids.semantic_ids import SemanticIds, read_codes
from s2gr.sources.faults import readable
from s2gr.sources.files import columns_of, item_values
from s2gr.sources.formats import open_file
from s2gr.workspace import Workspace

# Items that the table shows.
_SHOWN = 10


@dataclass(frozen=True)
class NewItems:
    """The items of the user's file, in its order."""

    item_ids: list[str]
    titles: list[str]
    embeddings: Matrix  # [items, dim], unit rows
    without_text: int  # items whose text says nothing to the content model


@dataclass(frozen=True)
class Assigned:
    """What a call of :func:`assign_new` has added."""

    new: NewSids
    assignment: Assignment
    without_text: int
    file: Path
    # Items in the file, those of earlier calls included.
    total: int


def assign_new(workspace: Workspace, params: Params, items: Path, out: Path | None = None) -> Assigned:
    """Give the items of the file ``items`` free semantic IDs, and add them to ``out``.

    Args:
        items: a row per item, with the columns of ``source.item_columns``, or its id and ``embedding`` (Parquet).
        out: by default ``data/sids_new.parquet``. What it holds already is kept. IDs are free beside the catalogue
            and beside ``out``.

    Raises: UserError: a stage has not run, a fault in the file, or an item that has a semantic ID already.
    """
    out = out or new_sids_path(workspace)
    with _alone(workspace):
        catalogue = read_codes(workspace.sids)
        earlier = read_new_sids(out, workspace.sids) if out.exists() else None
        content = load_content_model(content_model(workspace))
        codebook = load_codebook(workspace.codebook)
        vectors = codebook.vectors.numpy()
        if catalogue.codes.shape[1] != len(vectors) or catalogue.codes.max(initial=0) >= vectors.shape[1]:
            raise UserError(f"{workspace.sids} was made with another codebook; run the stage `sids` again")
        new = read_new_items(items, params, workspace, content)
        _refuse_known(new.item_ids, catalogue.item_ids, items, workspace.sids)
        taken = catalogue.codes
        if earlier is not None:
            _refuse_known(new.item_ids, earlier.sids.item_ids, items, out)
            taken = np.concatenate([taken, earlier.sids.codes])
        prepare_torch(params.runtime)
        latent = codebook.encode(new.embeddings)
        nearest = codebook.nearest(latent, params.sids.balanced)
        assignment = assign(latent.numpy(), nearest.numpy(), vectors, taken)
        added = NewSids(SemanticIds(new.item_ids, assignment.codes), new.titles, new.embeddings)
        everything = added if earlier is None else _appended(earlier, added)
        write_new_sids(everything, out, workspace.sids)
        return Assigned(added, assignment, new.without_text, out, len(everything.titles))


def read_new_items(path: Path, params: Params, workspace: Workspace, content: FrozenContent) -> NewItems:
    """Read and embed the items of ``path``: Parquet, CSV or JSONL. A column ``embedding`` counts before the text.

    Raises: UserError: a fault in the file, naming row and column.
    """
    if not path.is_file():
        raise UserError(f"--items: {path} does not exist; give a Parquet, CSV or JSONL file with a row per new item")
    columns = params.source.item_columns
    with database(params.runtime, workspace.state) as connection, readable(path):
        file = open_file(path, connection)
        with_embedding = "embedding" in file.columns and path.suffix.lower() == ".parquet"
        wanted = [columns.item] if with_embedding else columns_of(params.source, "items")
        missing = [name for name in wanted if name not in file.columns]
        if missing:
            raise UserError(
                f"{path}: expected column {', '.join(map(repr, missing))}, found {', '.join(file.columns) or 'none'}; "
                "name them as source.item_columns does, or give a column `embedding`"
            )
        rows = connection.execute(
            f"SELECT {item_values(params.source, file)} FROM ({file.scan}) ORDER BY s2gr_row"
        ).fetchall()
    if not rows:
        raise UserError(f"{path} has no rows; expected one for each new item")
    item_ids = [item_id or "" for item_id, _, _ in rows]
    row_of(item_ids, path)
    titles = [title or item_id for item_id, (_, title, _) in zip(item_ids, rows, strict=True)]
    if with_embedding:
        found, _ = read_parquet_vectors(path, columns.item, content.dim)
        embeddings, without = unit_vectors(found, item_ids, np.arange(len(found)), path), 0
    else:
        embeddings, without = content.embed([text for _, _, text in rows], params.runtime)
    return NewItems(item_ids, titles, embeddings, without)


def as_json(assigned: Assigned) -> str:
    """The added items and the figures of the call."""
    sids = assigned.new.sids
    told: dict[str, Any] = {
        "file": str(assigned.file),
        "assigned": len(sids.item_ids),
        "total": assigned.total,
        "without_text": assigned.without_text,
        "moved": assigned.assignment.moved,
        "rerouted": assigned.assignment.rerouted,
        "extra_distance": round(assigned.assignment.extra_distance, 6),
        "extra_relative": round(assigned.assignment.extra_relative, 6),
        "items": [
            {"item_id": item_id, "title": title, "sid": sid}
            for item_id, title, sid in zip(sids.item_ids, assigned.new.titles, sids.codes.tolist(), strict=True)
        ],
    }
    return json.dumps(told, ensure_ascii=False, indent=2)


def print_assigned(assigned: Assigned, console: Console) -> None:
    """A table of the first items, and what it cost to find free IDs."""
    sids = assigned.new.sids
    table = Table(title="New semantic IDs", title_style="bold")
    for column in ("item", "title", "SID"):
        table.add_column(column)
    for item_id, title, sid in list(zip(sids.item_ids, assigned.new.titles, sids.codes.tolist(), strict=True))[:_SHOWN]:
        table.add_row(Text(item_id), Text(title), "-".join(map(str, sid)))
    if len(sids.item_ids) > _SHOWN:
        table.add_row("…", "", "")
    console.print(table)
    cost = assigned.assignment
    console.print(
        f"{len(sids.item_ids):,} assigned; {cost.moved:,} got another ID than their nearest, as that was taken"
        + (f" (extra distance {cost.extra_relative:.1%} of the mean error)" if cost.moved else "")
        + f", {cost.rerouted:,} of them under another prefix"
    )
    if assigned.without_text:
        console.print(f"{assigned.without_text:,} without a text that says anything: the mean content stands in")
    console.print(Text(f"{assigned.total:,} new items in {assigned.file}"))


def _refuse_known(item_ids: list[str], known: list[str], items: Path, where: Path) -> None:
    old = set(known)
    rows = [row for row, item_id in enumerate(item_ids) if item_id in old]
    if rows:
        raise UserError(
            f"{items}, row {rows[0] + 1}: item {item_ids[rows[0]]!r} has a semantic ID already, in {where} "
            f"({len(rows)} such item{'s' if len(rows) > 1 else ''}); leave out what is not new"
        )


def _appended(earlier: NewSids, added: NewSids) -> NewSids:
    codes = np.concatenate([earlier.sids.codes, added.sids.codes])
    sids = SemanticIds(earlier.sids.item_ids + added.sids.item_ids, codes)
    return NewSids(sids, earlier.titles + added.titles, np.concatenate([earlier.content, added.content]))


@contextmanager
def _alone(workspace: Workspace) -> Iterator[None]:
    """Wait for other calls in this folder: each reads the file, adds to it and replaces it."""
    try:
        workspace.state.mkdir(parents=True, exist_ok=True)
        lock = (workspace.state / "assign.lock").open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--workdir {workspace.root}: can't be written ({error.strerror})") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
