from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s2gr.params import Params
from s2gr.reasoner.recommender import Recommender
from s2gr.recommendations import stage
from s2gr.sequences import load_sequences
from s2gr.stage import execute
from s2gr.workspace import Workspace, read_json

MadeWith = Callable[..., Params]


def made(workspace: Workspace, params: Params) -> dict[str, list[tuple[str, float]]]:
    """What each user is recommended, best first; ranks count from 1."""
    execute("recommendations", params, workspace)
    found: dict[str, list[tuple[str, float]]] = {}
    for row in pq.read_table(workspace.recommendations).to_pylist():
        listed = found.setdefault(row["user_id"], [])
        listed.append((row["item_id"], row["score"]))
        assert row["rank"] == len(listed)
    return found


def met_by(workspace: Workspace) -> dict[str, list[str]]:
    log = load_sequences(workspace.events, workspace.items)
    return {
        user: [log.item_ids[item] for item in log.items[log.offsets[row] : log.offsets[row + 1]]]
        for row, user in enumerate(log.user_ids)
    }


def test_the_number_of_threads_changes_no_byte(finished: Workspace, made_with: MadeWith) -> None:
    read = []
    for threads in (1, 3):
        execute("recommendations", made_with(runtime={"threads": threads}), finished)
        read.append(finished.recommendations.read_bytes())
    assert read[0] == read[1]


def test_every_user_gets_what_the_recommender_says(finished: Workspace, made_with: MadeWith) -> None:
    found = made(finished, made_with(recommendations={"k": 5}))
    met = met_by(finished)
    assert list(found) == list(met)
    recommender = Recommender.load(finished, made_with())
    for user in list(met)[::7]:
        expected = recommender.recommend(met[user], k=5)
        assert [item_id for item_id, _ in found[user]] == [item.item_id for item in expected]
        assert [score for _, score in found[user]] == pytest.approx([item.score for item in expected], rel=1e-4)
    assert read_json(finished.report("recommendations")) == {
        "users": len(met),
        "rows": 5 * len(met),
        "users_with_fewer": 0,
        "items": len({item_id for listed in found.values() for item_id, _ in listed}),
        "coverage": pytest.approx(
            len({item_id for listed in found.values() for item_id, _ in listed}) / len(recommender.item_ids), abs=1e-6
        ),
    }


def test_seen_items_stay_out_only_if_asked_and_lists_end_where_the_catalogue_does(
    finished: Workspace, made_with: MadeWith
) -> None:
    met = met_by(finished)
    catalogue = set(load_sequences(finished.events, finished.items).item_ids)
    unseen = made(finished, made_with(recommendations={"k": 1000}))
    assert {user: {item for item, _ in listed} for user, listed in unseen.items()} == {
        user: catalogue - set(items) for user, items in met.items()
    }
    assert read_json(finished.report("recommendations"))["users_with_fewer"] == len(met)
    everything = made(finished, made_with(recommendations={"k": 1000, "exclude_seen": False}))
    assert all({item for item, _ in listed} == catalogue for listed in everything.values())


@pytest.mark.parametrize("cut", [{"shard_users": 7}, {"batch_size": 3}, {"shard_users": 1000}])
def test_how_users_are_cut_up_does_not_matter(finished: Workspace, made_with: MadeWith, cut: dict[str, int]) -> None:
    whole, parts = made(finished, made_with()), made(finished, made_with(recommendations=cut))
    assert {user: [item for item, _ in listed] for user, listed in whole.items()} == {
        user: [item for item, _ in listed] for user, listed in parts.items()
    }


def test_a_killed_run_goes_on_where_it_was_and_ends_with_the_same_bytes(
    finished: Workspace, made_with: MadeWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = made_with(recommendations={"shard_users": 10})
    execute("recommendations", params, finished)
    undisturbed = finished.recommendations.read_bytes()
    finished.recommendations.unlink()
    seen: list[int] = []
    recommend_to = stage.recommend_to

    def dies_at_the_third(users: np.ndarray, *more: Any) -> pa.Table:
        seen.append(int(users[0]))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return recommend_to(users, *more)

    monkeypatch.setattr(stage, "recommend_to", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        execute("recommendations", params, finished)
    assert not finished.recommendations.exists()
    execute("recommendations", params, finished)
    assert seen == [0, 10, 20, 20, 30]
    assert finished.recommendations.read_bytes() == undisturbed
    assert not finished.unfinished("recommendations").exists()


def test_shards_of_another_model_or_other_settings_are_not_taken(
    finished: Workspace, made_with: MadeWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = made_with(recommendations={"shard_users": 10})
    fingerprint = stage._fingerprint(params, finished)
    assert stage._fingerprint(made_with(recommendations={"shard_users": 10, "k": 3}), finished) != fingerprint
    config = finished.reasoner / "config.json"
    config.write_text(config.read_text() + " ")
    assert stage._fingerprint(params, finished) != fingerprint
    stale = finished.unfinished("recommendations") / "stale/000000.parquet"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of another model")
    execute("recommendations", params, finished)
    assert pq.read_metadata(finished.recommendations).num_rows == 400


def test_the_documented_query_joins_titles(
    finished: Workspace, made_with: MadeWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs/using.md").read_text(encoding="utf-8")
    (query,) = [part for part in re.findall(r"```sql\n(.*?)```", text, re.DOTALL) if "recommendations.parquet" in part]
    execute("recommendations", made_with(), finished)
    monkeypatch.chdir(finished.root)
    rows = duckdb.sql(query.replace("'196'", "'u07'")).fetchall()
    assert [rank for _, rank, _, _ in rows] == list(range(1, 11))
    assert all(user == "u07" and title.startswith("Thing i") for user, _, title, _ in rows)
