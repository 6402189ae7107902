from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner, Result

from s2gr import recommend
from s2gr.workspace import Workspace, write_table

USERS = {"196": [0, 1, 2, 3, 4, 5, 6], "20": [3, 1]}
ITEMS = 9


@dataclass
class FakeRanking:
    items: np.ndarray
    scores: np.ndarray


class FakeRecommender:
    """Ranks the items by their index, the last first."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def rank(
        self, histories: np.ndarray, lengths: np.ndarray, k: int, beam: int, exclude: list[np.ndarray] | None = None
    ) -> FakeRanking:
        self.asked = {"history": histories.tolist(), "lengths": lengths.tolist(), "k": k, "beam": beam}
        left = [item for item in reversed(range(ITEMS)) if exclude is None or item not in exclude[0]][:k]
        items = np.array([left + [-1] * (k - len(left))])
        return FakeRanking(items, np.where(items >= 0, items / 10, -np.inf))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRecommender:
    workspace = Workspace(tmp_path)
    rows = [(user, f"i{item}", place) for user, items in USERS.items() for place, item in enumerate(items)]
    users, items, positions = zip(*rows, strict=True)
    split = ["train"] * len(rows)
    write_table(
        pa.table({"user_id": users, "item_id": items, "position": pa.array(positions, pa.int32()), "split": split}),
        workspace.events,
    )
    ids = [f"i{item}" for item in range(ITEMS)]
    write_table(pa.table({"item_id": ids, "title": [f"[b]Film {item}" for item in range(ITEMS)]}), workspace.items)
    codes = pa.array(range(ITEMS), pa.int32())
    write_table(pa.table({"item_id": ids, "code_1": codes, "code_2": codes}), workspace.sids)
    fake = FakeRecommender()
    monkeypatch.setattr(recommend, "Recommender", type("Fake", (), {"load": staticmethod(lambda *_, **__: fake)}))
    return fake


def ask(tmp_path: Path, *arguments: str) -> Result:
    from s2gr.cli import app

    return CliRunner().invoke(app, ["recommend", "--workdir", str(tmp_path), *arguments])


def test_table_shows_titles_scores_sids_and_the_recent_history(fake: FakeRecommender, tmp_path: Path) -> None:
    result = ask(tmp_path, "--user", "196", "-k", "2")
    assert result.exit_code == 0, result.output
    history, recommended = result.stdout.split("Recommended")
    assert "User 196, the last 5 items" in history
    assert "i6" in history
    assert "i1" not in history
    # Titles are shown as they are, not read as markup.
    assert "[b]Film 8" in recommended
    assert "0.8000" in recommended
    assert "8-8" in recommended
    assert fake.asked == {"history": [USERS["196"]], "lengths": [7], "k": 2, "beam": 20}


def test_json_leaves_out_seen_items_and_places_that_nothing_fills(fake: FakeRecommender, tmp_path: Path) -> None:
    result = ask(tmp_path, "--user", "196", "-k", "30", "--json")
    told = json.loads(result.stdout)
    assert told["user"] == "196"
    assert told["items"] == [
        {"item_id": "i8", "title": "[b]Film 8", "sid": [8, 8], "score": 0.8},
        {"item_id": "i7", "title": "[b]Film 7", "sid": [7, 7], "score": 0.7},
    ]
    assert [item["item_id"] for item in told["history"]] == ["i2", "i3", "i4", "i5", "i6"]
    assert fake.asked["beam"] == 30


def test_include_seen_ranks_the_whole_catalogue(fake: FakeRecommender, tmp_path: Path) -> None:
    told = json.loads(ask(tmp_path, "--user", "20", "-k", "9", "--json", "--include-seen").stdout)
    assert len(told["items"]) == ITEMS


def test_unknown_user_is_told_the_closest_ids(fake: FakeRecommender, tmp_path: Path) -> None:
    result = ask(tmp_path, "--user", "197")
    assert result.exit_code == 2
    assert result.stderr == "error: there is no user '197' in data/events.parquet; the closest of 2: 196, 20\n"


def test_no_artefacts_is_a_one_line_error(tmp_path: Path) -> None:
    result = ask(tmp_path, "--user", "1")
    assert result.exit_code == 2
    assert "items.parquet is missing: run the stage" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
