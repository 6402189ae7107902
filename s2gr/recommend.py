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
from s2gr.publish.versions import current_bundle
from s2gr.reasoner.recommender import Recommended, Recommender
from s2gr.sequences import load_sequences
from s2gr.workspace import Workspace

# Items of history that are shown.
_SHOWN = 5


@dataclass(frozen=True)
class Item:
    item_id: str
    title: str
    sid: tuple[int, ...]


@dataclass(frozen=True)
class Recommendations:
    user: str
    # The most recent items, newest last.
    history: list[Item]
    # Best first; fewer than asked for if the catalogue has no more.
    items: list[Recommended]


def recommend(workspace: Workspace, params: Params, user: str, k: int, exclude_seen: bool) -> Recommendations:
    """Rank the catalogue of the published bundle for what ``user`` does after the end of the log.

    Raises: UserError: an unknown user, nothing published, or artefacts that are missing.
    """
    sequences = load_sequences(workspace.events, workspace.items)
    index = _find_user(sequences.user_ids, user)
    met = [sequences.item_ids[row] for row in sequences.items[sequences.offsets[index] : sequences.offsets[index + 1]]]
    recommender = Recommender.load(current_bundle(workspace.published), params)
    # What was met first after the bundle was published, it does not know.
    rows = [recommender.row_of[item_id] for item_id in met if item_id in recommender.row_of]
    if not rows:
        raise UserError(f"user {user!r} has met nothing that the published model knows")
    history = np.array(rows)
    beam = max(params.evaluation.beams[0], k)
    exclude = [np.unique(history)] if exclude_seen else None
    found = recommender.described(recommender.rank(history[None], np.array([len(history)]), k, beam, exclude))[0]
    codes = recommender.sids.codes
    recent = [
        Item(recommender.item_ids[row], recommender.titles[row], tuple(codes[row].tolist())) for row in rows[-_SHOWN:]
    ]
    return Recommendations(user, recent, found)


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
