from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from s2gr.evaluation import stage
from s2gr.params import Params
from s2gr.sequences import load_sequences
from s2gr.workspace import Workspace, read_json, write_json

MakeLog = Callable[[dict[str, list[str]]], Workspace]
USERS, ITEMS = 30, 40


@dataclass
class FakeRanking:
    items: np.ndarray


class Oracle:
    """Knows the test targets by the histories that lead to them; at beam width 50 it knows nothing."""

    def __init__(self, workspace: Workspace) -> None:
        sequences = load_sequences(workspace.events, workspace.items)
        self.item_ids = sequences.item_ids
        self.calls: list[tuple[int, bool]] = []
        self.fused = True
        self._targets = {
            tuple(sequences.items[start : end - 1][-8:].tolist()): int(sequences.items[end - 1])
            for start, end in zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)
        }

    def rankings(
        self,
        histories: np.ndarray,
        lengths: np.ndarray,
        k: int,
        beam: int,
        exclude: list[np.ndarray] | None = None,
    ) -> dict[str, FakeRanking]:
        self.calls.append((beam, exclude is not None))
        found = {}
        for place, ranking in enumerate(("fused", "beam")):
            items = np.full((len(histories), k), -1, np.int64)
            if beam == 20:
                for row, (history, length) in enumerate(zip(histories, lengths, strict=True)):
                    items[row, place] = self._targets[tuple(history[:length].tolist())]
            found[ranking] = FakeRanking(items)
        return found if self.fused else {"beam": found["fused"]}


@pytest.fixture
def workspace(make_log: MakeLog) -> Workspace:
    generator = np.random.default_rng(0)
    log = {
        f"u{user:02}": [f"i{item:02}" for item in generator.permutation(ITEMS)[: 5 + user % 9]] for user in range(USERS)
    }
    workspace = make_log(log)
    write_json({"reasoner": {"history": 8, "ranking": "fused"}}, workspace.reasoner / "config.json")
    return workspace


@pytest.fixture
def oracle(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Oracle:
    fake = Oracle(workspace)
    monkeypatch.setattr(stage, "Recommender", type("Fake", (), {"load": staticmethod(lambda *_: fake)}))
    return fake


def evaluate(workspace: Workspace, **settings: Any) -> Any:
    return stage.run(Params.model_validate({"evaluation": settings}), workspace, workspace)


def test_an_oracle_scores_one_and_the_baselines_do_not(workspace: Workspace, oracle: Oracle) -> None:
    metrics = evaluate(workspace)
    assert metrics["s2gr"] == {"recall@5": 1.0, "ndcg@5": 1.0, "recall@10": 1.0, "ndcg@10": 1.0}
    assert metrics["s2gr_seen_filtered"] == metrics["s2gr"]
    assert metrics["s2gr_width_50"]["recall@10"] == 0.0
    assert metrics["s2gr_beam"]["ndcg@10"] == pytest.approx(1 / np.log2(3), abs=1e-6)
    for baseline in ("popularity", "walk", "walk_undirected"):
        assert 0 < metrics[f"{baseline}_seen_filtered"]["recall@10"] < 1
    assert metrics["significance"]["s2gr_vs_walk"]["verdict"] == "better"
    assert metrics["significance"]["metric"] == "ndcg@10"


def test_every_width_is_decoded_once_with_and_once_without_the_seen_filter(
    workspace: Workspace, oracle: Oracle
) -> None:
    evaluate(workspace)
    assert sorted(oracle.calls) == [(20, False), (20, True), (50, False), (50, True)]


def test_a_model_that_ranks_by_the_beam_alone_has_no_second_ranking(workspace: Workspace, oracle: Oracle) -> None:
    write_json({"reasoner": {"history": 8, "ranking": "beam"}}, workspace.reasoner / "config.json")
    oracle.fused = False
    metrics = evaluate(workspace, beams=[20])
    assert "s2gr_beam" not in metrics
    assert metrics["protocol"]["ranking"] == "beam"


def test_batch_size_does_not_change_the_metrics(workspace: Workspace, oracle: Oracle) -> None:
    assert evaluate(workspace, batch_size=7) == evaluate(workspace, batch_size=256)


def test_slices_cover_all_users_and_agree_with_the_whole(workspace: Workspace, oracle: Oracle) -> None:
    metrics = evaluate(workspace)
    memorised, generalised = metrics["slices"]["memorised"], metrics["slices"]["generalised"]
    assert memorised["users"] + generalised["users"] == metrics["protocol"]["users"] == USERS
    assert memorised["users"] > 0
    weighted = sum(part["users"] * part["walk"]["ndcg@10"] for part in (memorised, generalised)) / USERS
    assert weighted == pytest.approx(metrics["walk"]["ndcg@10"], abs=2e-6)
    long_users = metrics["slices"]["at_least_10_events"]["users"]
    assert long_users == sum(5 + user % 9 >= 10 for user in range(USERS))


def test_ranking_csv_has_a_row_per_system_filter_and_k(workspace: Workspace, oracle: Oracle) -> None:
    metrics = evaluate(workspace)
    with workspace.plot("ranking").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 2 * 2
    row = next(row for row in rows if (row["system"], row["filter"], row["k"]) == ("walk", "seen", "10"))
    assert float(row["ndcg"]) == metrics["walk_seen_filtered"]["ndcg@10"]


def test_the_headline_holds_a_figure_per_system_and_filter(workspace: Workspace, oracle: Oracle) -> None:
    metrics = evaluate(workspace)
    headline = read_json(workspace.headline)
    assert set(headline) == {"ndcg@10_all", "ndcg@10_unseen"}
    assert set(headline["ndcg@10_all"]) == {"s2gr", "s2gr_beam", "popularity", "walk", "walk_undirected"}
    assert headline["ndcg@10_unseen"]["walk"] == metrics["walk_seen_filtered"]["ndcg@10"]
