"""What the published model recommends after a history: items, scores and their semantic IDs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from s2gr.errors import UserError
from s2gr.reasoner.recommender import Item, Recommended, Recommender
from s2gr.serve.history import Finder, history_of_user
from s2gr.serve.item_lists import read_item_list

# Items of history that are shown.
SHOWN = 5


@dataclass(frozen=True)
class Wish:
    """What is asked for."""

    # A user of the log, or a history as people type it (`Finder.history`).
    user: str | None
    history: Sequence[str]
    k: int = 10
    exclude_seen: bool = True
    # Files of item ids, one a line.
    allow: Path | None = None
    deny: Path | None = None
    # Places for items that nobody has met in training.
    fresh: int = 0


@dataclass(frozen=True)
class Recommendations:
    version: str
    # None if a history was given.
    user: str | None
    # The most recent items, newest last.
    history: list[Item]
    # Of the user's events, those on items that the published model does not know.
    unknown: int
    # Best first; fewer than asked for if there are no more.
    items: list[Recommended]


def known_history(recommender: Recommender, events: Path, wish: Wish) -> tuple[list[str], int]:
    """The item ids of the history that is meant, and how many of a user's events are on items that are not known.

    Raises: UserError: an unknown user or item, a title that may be several, or nothing, or nothing that is known.
    """
    if wish.user is None:
        history = Finder(recommender.item_ids, recommender.titles).history(wish.history)
        if not history:
            raise UserError("--history: expected ids or titles of items, oldest first, found none")
        return history, 0
    met = history_of_user(events, wish.user)
    known = [item_id for item_id in met if item_id in recommender.row_of]
    if not known:
        raise UserError(f"user {wish.user!r} has met nothing that the published model knows")
    return known, len(met) - len(known)


def recommend(recommender: Recommender, events: Path, wish: Wish) -> Recommendations:
    """Rank the catalogue of a published bundle.

    Args:
        events: the log, for a user's history.

    Raises: UserError: as :func:`known_history`, or a file that can't be read.
    """
    history, unknown = known_history(recommender, events, wish)
    allow, deny = item_lists(recommender, wish)
    found = recommender.recommend(history, wish.k, wish.exclude_seen, allow, deny, fresh=wish.fresh)
    recent = [recommender.item(recommender.row_of[item_id]) for item_id in history[-SHOWN:]]
    return Recommendations(recommender.version, wish.user, recent, unknown, found)


def item_lists(recommender: Recommender, wish: Wish) -> tuple[list[str] | None, list[str]]:
    """What may be recommended, None for everything, and what may not."""
    allow = read_item_list(wish.allow) if wish.allow else None
    if allow is not None and not len(recommender.rows(allow)):
        raise UserError(f"{wish.allow}: none of its {len(allow)} ids is an item of the published model")
    return allow, read_item_list(wish.deny) if wish.deny else []


def as_json(recommendations: Recommendations) -> str:
    return json.dumps(asdict(recommendations), ensure_ascii=False, indent=2)


def print_recommendations(recommendations: Recommendations, console: Console) -> None:
    """Two tables: where the user comes from, and what is recommended."""
    console.print(history_table(recommendations.user, recommendations.history))
    if recommendations.unknown:
        console.print(f"({recommendations.unknown} events on items that the published model does not know: left out)")
    table = Table(title=f"Recommended by {recommendations.version}", title_style="bold")
    for column in ("", "item", "title", "score", "SID"):
        table.add_column(column, justify="right" if column in {"", "score"} else "left")
    for place, best in enumerate(recommendations.items, start=1):
        table.add_row(str(place), Text(best.item_id), Text(best.title), f"{best.score:.4f}", shown_sid(best.sid))
    console.print(table)


def history_table(user: str | None, history: Sequence[Item]) -> Table:
    whose = "The history" if user is None else f"User {user}"
    table = Table(title=Text(f"{whose}, the last {len(history)} items"))
    for column in ("item", "title", "SID"):
        table.add_column(column)
    for item in history:
        table.add_row(Text(item.item_id), Text(item.title), shown_sid(item.sid))
    return table


def shown_sid(sid: Sequence[int]) -> str:
    return "-".join(map(str, sid))
