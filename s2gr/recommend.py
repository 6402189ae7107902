"""What the trained reasoner recommends to one user of the log: items, scores and their semantic IDs."""

from __future__ import annotations

import bisect
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from s2gr.errors import UserError
from s2gr.params import Params
from s2gr.reasoner.recommender import Recommender
from s2gr.sequences import load_sequences
from s2gr.sids.new_sids import join_new_sids
from s2gr.sids.semantic_ids import read_sids
from s2gr.workspace import Workspace, read_table

# Items of history that are shown.
_SHOWN = 5


@dataclass(frozen=True)
class Item:
    item_id: str
    title: str
    sid: tuple[int, ...]


@dataclass(frozen=True)
class Recommended(Item):
    score: float


@dataclass(frozen=True)
class Recommendations:
    user: str
    # The most recent items, newest last.
    history: list[Item]
    # Best first; fewer than asked for if the catalogue has no more.
    items: list[Recommended]


def recommend(workspace: Workspace, params: Params, user: str, k: int, exclude_seen: bool) -> Recommendations:
    """Rank the catalogue for what ``user`` does after the end of the log.

    Raises: UserError: an unknown user, or artefacts that are missing.
    """
    sequences = load_sequences(workspace.events, workspace.items)
    index = _find_user(sequences.user_ids, user)
    history = sequences.items[sequences.offsets[index] : sequences.offsets[index + 1]].astype(np.int64)
    recommender = Recommender.load(workspace, params, with_new=True)
    beam = max(params.evaluation.beams[0], k)
    exclude = [np.unique(history)] if exclude_seen else None
    ranked = recommender.rank(history[None], np.array([len(history)]), k, beam, exclude)
    sids, new = join_new_sids(read_sids(workspace.sids, sequences.item_ids), workspace)
    titles = read_table(workspace.items, ["title"])["title"].to_pylist() + (new.titles if new else [])

    def describe(row: int) -> Item:
        return Item(sids.item_ids[row], titles[row], tuple(sids.codes[row].tolist()))

    found = [
        Recommended(**asdict(describe(int(row))), score=float(score))
        for row, score in zip(ranked.items[0], ranked.scores[0], strict=True)
        if row >= 0
    ]
    return Recommendations(user, [describe(int(row)) for row in history[-_SHOWN:]], found)


def as_json(recommendations: Recommendations) -> str:
    return json.dumps(asdict(recommendations), ensure_ascii=False, indent=2)


def print_recommendations(recommendations: Recommendations, console: Console) -> None:
    """Two tables: where the user comes from, and what is recommended."""
    history = Table(title=f"User {recommendations.user}, the last {len(recommendations.history)} items", title_style="")
    for column in ("item", "title", "SID"):
        history.add_column(column)
    for item in recommendations.history:
        history.add_row(Text(item.item_id), Text(item.title), _show(item.sid))
    console.print(history)
    table = Table(title="Recommended", title_style="bold")
    for column in ("", "item", "title", "score", "SID"):
        table.add_column(column, justify="right" if column in {"", "score"} else "left")
    for place, best in enumerate(recommendations.items, start=1):
        table.add_row(str(place), Text(best.item_id), Text(best.title), f"{best.score:.4f}", _show(best.sid))
    console.print(table)


def _show(sid: Sequence[int]) -> str:
    return "-".join(map(str, sid))


def _find_user(user_ids: list[str], user: str) -> int:
    """The index of ``user`` in the sorted ids."""
    place = bisect.bisect_left(user_ids, user)
    if place < len(user_ids) and user_ids[place] == user:
        return place
    near = ", ".join(user_ids[max(0, place - 2) : place + 2])
    raise UserError(f"there is no user {user!r} in data/events.parquet; the closest of {len(user_ids):,}: {near}")
