"""An item that came after training is recommended without any: by the command, from the bundle, to those it fits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from s2gr.assign import assign_new
from s2gr.params import Params
from s2gr.pipeline import run_all
from s2gr.publish.publishing import publish
from s2gr.reasoner.recommender import Recommended, Recommender, with_fresh
from s2gr.workspace import Workspace
from tests.conftest import SETTINGS, land

# Of the little world of tests/conftest.py, in which users go from item to item along a row.
NEW = ("i10", "i20", "i30", "i50")


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Params, Path]:
    """All stages on a log that lacks some items, and a file with these."""
    whole, landing = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("landing")
    land(whole)
    for name in ("interactions", "items"):
        table = pq.read_table(whole / f"{name}.parquet")
        pq.write_table(table.filter(pc.invert(pc.is_in(table["item_id"], pa.array(NEW)))), landing / f"{name}.parquet")
    items = pq.read_table(whole / "items.parquet")
    pq.write_table(items.filter(pc.is_in(items["item_id"], pa.array(NEW))), whole / "new.parquet")
    params = Params.model_validate({**SETTINGS, "source": {**SETTINGS["source"], "path": str(landing)}})
    workspace = Workspace(tmp_path_factory.mktemp("without") / "work")
    run_all(params, workspace)
    return workspace, params, whole


def test_held_out_items_are_recommended_to_those_who_went_on_to_meet_it(
    without: tuple[Workspace, Params, Path], tmp_path: Path
) -> None:
    workspace, params, whole = without
    work = Workspace(tmp_path / "work")
    shutil.copytree(workspace.root, work.root)
    assign_new(work, params, whole / "new.parquet")
    publish(work, params)
    recommender = Recommender.load(work.published / "current")
    events = pq.read_table(whole / "interactions.parquet").to_pylist()
    asked = 0
    for user in sorted({event["user_id"] for event in events}):
        met = [event["item_id"] for event in events if event["user_id"] == user]
        for place, item_id in enumerate(met):
            history = [known for known in met[:place] if known not in NEW]
            if item_id in NEW and history:
                found = [item.item_id for item in recommender.recommend(history, k=10, fresh=len(NEW))]
                assert item_id in found[-len(NEW) :]
                asked += 1
    assert asked >= 10
    command = ["recommend", "--workdir", str(work.root), "--history", "i28,i29", "-k", "5", "--fresh", "1", "--json"]
    from s2gr.cli import app

    told = json.loads(CliRunner().invoke(app, command).stdout)
    assert told["items"][-1]["item_id"] in NEW
    usual = json.loads(CliRunner().invoke(app, [*command[:-3], "--json"]).stdout)
    assert told["items"][:4] == usual["items"][:4]


def test_fresh_places_are_the_last_ones_and_nothing_comes_up_twice() -> None:
    def items(ids: str) -> list[Recommended]:
        return [Recommended(item_id, item_id, (0,), 1.0) for item_id in ids]

    def told(best: str, among: str, k: int, fresh: int) -> str:
        return "".join(item.item_id for item in with_fresh(items(best), items(among), k, fresh))

    assert told("abcd", "xy", 4, 1) == "abcx"
    assert told("abcd", "xy", 4, 2) == "abxy"
    assert told("axcd", "xy", 4, 1) == "axcy"
    assert told("abxd", "xy", 4, 2) == "abxy"
    assert told("abcd", "x", 4, 3) == "abcx"
    assert told("abcd", "", 4, 2) == "abcd"
    assert told("abcd", "vwxyz", 4, 9) == "vwxy"
