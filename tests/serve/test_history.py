from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2gr.errors import UserError
from s2gr.serve.history import Finder, history_of_user

TITLES = {
    "50": "Star Wars (1977)",
    "1": "Toy Story (1995)",
    "127": "Godfather, The (1972)",
    "187": "Godfather: Part II, The (1974)",
    "183": "Alien (1979)",
    "176": "Aliens (1986)",
    "9": "Heat",
    "10": "heat ",
    "11": "Amélie, le fabuleux destin",
    "12": "千と千尋の神隠し",
}
FINDER = Finder(list(TITLES), list(TITLES.values()))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["50,1"], ["50", "1"]),
        (["50, 1 , 127"], ["50", "1", "127"]),
        (["50", "1"], ["50", "1"]),
        (["toy story"], ["1"]),
        (["STAR WARS (1977)"], ["50"]),
        (["Star  wars"], ["50"]),
        (["toy stry, 50"], ["1", "50"]),
        (["wars star"], ["50"]),
        (["Godfather part ii"], ["187"]),
        # A title with a comma inside, between others.
        (["1, godfather, the (1972), 50"], ["1", "127", "50"]),
        (["Amélie, le fabuleux destin"], ["11"]),
        (["千と千尋の神隠し,1"], ["12", "1"]),
        (["1,,50,"], ["1", "50"]),
        (["1, 1"], ["1", "1"]),
    ],
)
def test_ids_and_titles_are_found(given: list[str], found: list[str]) -> None:
    assert FINDER.history(given) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("godfather", r"'godfather' may be several items; give more of the title, or the id: 127 = .*; 187 = "),
        ("Heat", r"'Heat' is the title of several items; give the id: 9 = Heat; 10 = heat"),
        ("pulp fiction", r"there is no item with the id or the title 'pulp fiction'"),
        ("4711", r"there is no item with the id or the title '4711'"),
        ("toy shop", r"there is no item .* 'toy shop'; the closest: 1 = Toy Story \(1995\)"),
        ("heat wave in the city", r"there is no item"),
        ("star trek", r"there is no item .* the closest: 50 = Star Wars \(1977\)"),
        ("?!", r"there is no item with the id or the title '\?!'"),
    ],
)
def test_what_is_not_clear_is_asked_back(given: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        FINDER.history([given])


@pytest.mark.parametrize("rows_of_a_group", [1, 3, 100])
def test_a_users_items_come_in_their_order_however_the_log_is_cut(tmp_path: Path, rows_of_a_group: int) -> None:
    log = {"a": ["x"], "b": ["y", "x", "z", "y"], "ç": ["z"]}
    rows = [(user, item, place) for user, items in log.items() for place, item in enumerate(items)]
    users, items, positions = zip(*rows, strict=True)
    path = tmp_path / "events.parquet"
    table = pa.table({"user_id": users, "item_id": items, "position": positions})
    pq.write_table(table, path, row_group_size=rows_of_a_group)
    assert {user: history_of_user(path, user) for user in log} == log
    with pytest.raises(UserError, match=r"no user 'bb' in .*; the closest of 3: a, b, ç"):
        history_of_user(path, "bb")
