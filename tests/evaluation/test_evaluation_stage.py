from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from s2gr.cases import build_cases
from s2gr.evaluation import stage
from s2gr.evaluation.budget import inference_flops
from s2gr.evaluation.report import PAGE
from s2gr.params import Params
from s2gr.reasoner.recommender import Ranking, Recommender
from s2gr.sequences import load_sequences
from s2gr.workspace import Workspace, read_json, read_table

from .small import untrained

MakeLog = Callable[[dict[str, list[str]]], Workspace]
USERS, ITEMS = 30, 40
SYSTEMS = ("s2gr", "s2gr_interest", "s2gr_beam", "popularity", "walk", "walk_undirected", "item_knn")


@pytest.fixture
def workspace(make_log: MakeLog) -> Workspace:
    generator = np.random.default_rng(0)
    log = {
        f"u{user:02}": [f"i{item:02}" for item in generator.permutation(ITEMS)[: 5 + user % 9]] for user in range(USERS)
    }
    # Every item occurs, also where no user happens to hold it.
    log["u99"] = [f"i{item:02}" for item in range(ITEMS)]
    workspace = make_log(log)
    untrained(workspace)
    return workspace


@pytest.fixture
def oracle(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The reasoner knows the targets by their histories: first by ``fused``, second by ``beam``; none at width 50.

    Returns: the calls' widths and numbers of filters.
    """
    sequences = load_sequences(workspace.events, workspace.items)
    targets = {
        tuple(sequences.items[start : end - 1][-8:].tolist()): int(sequences.items[end - 1])
        for start, end in zip(sequences.offsets[:-1], sequences.offsets[1:], strict=True)
    }
    calls: list[tuple[int, int]] = []

    def rankings_under(
        self: Recommender, filters: list[Any], histories: np.ndarray, lengths: np.ndarray, k: int, beam: int, *_: object
    ) -> list[dict[str, Ranking]]:
        calls.append((beam, len(filters)))
        found = {}
        for place, ranking in enumerate(("fused", "beam")):
            items = np.full((len(histories), k), -1, np.int64)
            if beam == 20:
                for row, (history, length) in enumerate(zip(histories, lengths, strict=True)):
                    items[row, place] = targets[tuple(history[:length].tolist())]
            else:
                items[:, 0] = 0
            found[ranking] = Ranking(items, np.zeros(items.shape, np.float32))
        return [found if self.model.params.ranking == "fused" else {"beam": found["fused"]}] * len(filters)

    monkeypatch.setattr(Recommender, "rankings_under", rankings_under)
    return calls


def evaluate(workspace: Workspace, **settings: Any) -> Any:
    return stage.run(Params.model_validate({"evaluation": settings}), workspace, workspace)


def test_an_oracle_scores_one_and_the_baselines_do_not(workspace: Workspace, oracle: object) -> None:
    metrics = evaluate(workspace, beams=[20, 50], control_users=0)
    assert set(metrics["s2gr"].values()) == {1.0}
    assert list(metrics["s2gr"]) == ["recall@5", "ndcg@5", "mrr@5", "recall@10", "ndcg@10", "mrr@10"]
    assert metrics["s2gr_seen_filtered"] == metrics["s2gr"]
    assert metrics["s2gr_width_50"]["recall@10"] < 0.2
    assert metrics["s2gr_beam"]["ndcg@10"] == pytest.approx(1 / np.log2(3), abs=1e-6)
    assert metrics["s2gr_beam"]["mrr@10"] == 0.5
    for baseline in stage.BASELINES:
        assert 0 < metrics[f"{baseline}_seen_filtered"]["recall@10"] < 1
    assert metrics["significance"]["s2gr_vs_walk"]["verdict"] == "better"
    assert metrics["significance"]["metric"] == "ndcg@10"


def test_each_width_is_decoded_once_for_both_filters(workspace: Workspace, oracle: list[tuple[int, int]]) -> None:
    evaluate(workspace, beams=[20, 50], control_users=0)
    # What is decoded without a filter counts operations.
    assert [call for call in oracle if call[1] == 2] == [(20, 2), (50, 2)]


def test_the_page_the_tables_and_the_headline_come_from_a_real_network(workspace: Workspace) -> None:
    metrics = evaluate(workspace)
    page = (workspace.root / PAGE).read_text(encoding="utf-8")
    assert "<h2>Do the thoughts matter?</h2>" in page
    assert page.count('<div class="user">') == 5
    # Self-contained: nothing is fetched, nothing runs.
    assert not any(word in page for word in ("http:", "https:", "<script", "<link", "<img", "url("))
    headline = read_json(workspace.headline)
    assert set(headline) == {"ndcg@10_all", "ndcg@10_unseen"}
    assert set(headline["ndcg@10_all"]) == set(SYSTEMS) - {"item_knn"}
    assert headline["ndcg@10_unseen"]["walk"] == metrics["walk_seen_filtered"]["ndcg@10"]
    with workspace.plot("ranking").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(SYSTEMS) * 2 * 2
    row = next(row for row in rows if (row["system"], row["filter"], row["k"]) == ("walk", "seen", "10"))
    assert float(row["ndcg"]) == metrics["walk_seen_filtered"]["ndcg@10"]
    with workspace.plot("slices").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["system"], row["filter"]) for row in rows if row["slice"] == "memorised"} == {
        (system, filtered) for system in SYSTEMS for filtered in ("none", "seen")
    }
    with workspace.plot("calibration").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["level"] for row in rows} == {"1", "2", "3"}
    assert sum(int(row["cases"]) for row in rows) == 3 * metrics["protocol"]["users"]


def test_where_all_have_met_everything_nothing_is_recommended_and_nothing_told(make_log: MakeLog) -> None:
    items = [f"i{item:02}" for item in range(12)]
    workspace = make_log({f"u{user}": [*items[user:], *items[:user], *items[:3]] for user in range(6)})
    untrained(workspace)
    found = evaluate(workspace)["beyond_accuracy"]
    assert {"s2gr", "popularity"} <= found.keys()
    assert not [name for name in found if name.endswith("_seen_filtered")]
    assert "–" in (workspace.root / PAGE).read_text().split("What is recommended")[1]


def test_the_ranks_of_all_users_give_the_reported_figures(workspace: Workspace) -> None:
    metrics = evaluate(workspace, control_users=0)
    table = read_table(workspace.ranks)
    assert table["user_id"].to_pylist() == sorted(table["user_id"].to_pylist())
    assert len(table) == metrics["protocol"]["users"]
    for name in SYSTEMS:
        for suffix in ("", "_seen_filtered"):
            ranks = table[name + suffix].to_pylist()
            gain = sum(1 / np.log2(rank + 2) for rank in ranks if rank is not None) / len(ranks)
            assert gain == pytest.approx(metrics[name + suffix]["ndcg@10"], abs=1e-6)


def test_the_same_run_gives_the_same_bytes(workspace: Workspace) -> None:
    files = [
        workspace.root / PAGE,
        workspace.ranks,
        *(workspace.plot(name) for name in ("ranking", "slices", "calibration")),
    ]
    found = []
    for _ in range(2):
        evaluate(workspace)
        found.append([path.read_bytes() for path in files])
    assert found[0] == found[1]


def test_a_model_that_ranks_by_the_beam_alone_has_no_second_ranking(workspace: Workspace) -> None:
    untrained(workspace, ranking="beam")
    metrics = evaluate(workspace)
    assert "s2gr_beam" not in metrics
    assert metrics["protocol"]["ranking"] == "beam"
    assert metrics["fusion"] is None
    assert set(metrics["interventions"]) == {"users", "metric", "s2gr", "s2gr_seen_filtered"}


@pytest.mark.parametrize("thinking", ["none", "pause", "before"])
def test_every_way_of_thinking_is_evaluated(workspace: Workspace, thinking: str) -> None:
    untrained(workspace, thinking=thinking)
    metrics = evaluate(workspace)
    assert bool(metrics["interventions"]) == bool(metrics["network"]["thoughts"]) == (thinking == "before")
    assert "User u" in (workspace.root / PAGE).read_text(encoding="utf-8")


def test_batch_size_does_not_change_the_metrics(workspace: Workspace) -> None:
    one, other = (evaluate(workspace, batch_size=size, control_users=0) for size in (7, 256))
    for name in SYSTEMS:
        assert one[name] == other[name]
    assert one["beyond_accuracy"] == other["beyond_accuracy"]


def test_slices_cover_all_users_and_agree_with_the_whole(workspace: Workspace) -> None:
    metrics = evaluate(workspace, control_users=0)
    found, users = metrics["slices"], metrics["protocol"]["users"]
    for partition in (
        ["memorised", "generalised"],
        ["head", "middle", "tail", "cold"],
        ["history_1_to_5", "history_6_to_10", "history_11_to_20", "history_from_21"],
    ):
        parts = [found[name] for name in partition]
        assert sum(part["users"] for part in parts) == users
        for suffix in ("", "_seen_filtered"):
            weighted = sum(part["users"] * part[f"walk{suffix}"]["ndcg@10"] for part in parts if part["users"]) / users
            assert weighted == pytest.approx(metrics[f"walk{suffix}"]["ndcg@10"], abs=2e-6)
    assert found["memorised"]["users"] > 0
    assert found["at_least_10_events"]["users"] == sum(5 + user % 9 >= 10 for user in range(USERS)) + 1


def test_what_one_user_costs_is_counted_over_all_lengths(make_log: MakeLog) -> None:
    log = {f"u{user:02}": [f"i{item}" for item in range(4 if user < 70 else 11)] for user in range(140)}
    workspace = make_log(log)
    recommender = untrained(workspace)
    cases = build_cases(load_sequences(workspace.events, workspace.items), "test", 8).by_length()
    rows = np.arange(140)
    short, all_, long = (inference_flops(recommender, cases.take(part), 20) for part in (rows[:70], rows, rows[70:]))
    assert short < all_ < long


def test_the_protocol_says_what_the_log_says(workspace: Workspace) -> None:
    protocol = evaluate(workspace, control_users=0)["protocol"]
    assert protocol["scheme"].startswith("leave-one-out")
    assert (protocol["ties"], protocol["beam"], protocol["history"]) == ("log", 20, 8)
    # The test log's clock starts anew for every user.
    assert protocol["targets_tied_with_previous"] == 0
    assert protocol["targets_seen_before"] == 0
