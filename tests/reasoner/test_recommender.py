"""A trained reasoner as a user meets it: ranking, filters, storage."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from s2gr.cases import Cases, build_cases
from s2gr.errors import UserError
from s2gr.metrics import gains, ranks_in_list
from s2gr.params import Params
from s2gr.reasoner.choosing import choose_fusion, choose_walks
from s2gr.reasoner.decoding import beam_search
from s2gr.reasoner.fusion import Fusion, Weights
from s2gr.reasoner.model import S2GR
from s2gr.reasoner.recommender import Recommender
from s2gr.sequences import TEST, TRAIN, VALIDATION, Sequences
from s2gr.sids.semantic_ids import SemanticIds
from s2gr.walk import GRID, GraphWalk, WalkCounts, WalkWeights
from s2gr.workspace import Workspace, read_json, write_json, write_table

HISTORIES = np.array([[3, 1, 4, -1, -1, -1, -1, -1], [1, 5, 9, 2, 6, 5, 3, 5], [7, -1, -1, -1, -1, -1, -1, -1]])
LENGTHS = np.array([3, 8, 1])
FUSION = Fusion(Weights(0.3, 0.3, 0.2, 0.2), Weights(0.1, 0.6, 0.3, 0.0))


@pytest.fixture
def recommender(model: S2GR, codes: np.ndarray) -> Recommender:
    generator = np.random.default_rng(5)
    lengths = np.full(10, 9)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    items = generator.integers(0, 30, offsets[-1]).astype(np.int32)
    item_ids = [f"i{item:02}" for item in range(30)]
    users = [f"u{user}" for user in range(10)]
    training = Sequences(users, offsets, items, np.zeros(len(items), np.uint8), item_ids)
    return Recommender(model, SemanticIds(item_ids, codes), WalkCounts.of(training), FUSION, torch.device("cpu"))


def test_beam_ranking_is_the_beam(recommender: Recommender) -> None:
    ranked = recommender.rankings(HISTORIES, LENGTHS, k=5, beam=20)["beam"]
    memory = recommender.encode(HISTORIES, LENGTHS)
    beam = beam_search(recommender.model, memory, recommender.constraint, 20)
    assert np.array_equal(ranked.items, beam.items[:, :5].numpy())


def test_fused_ranking_sorts_the_weighted_sum_of_the_sources(recommender: Recommender) -> None:
    ranked = recommender.rank(HISTORIES, LENGTHS, k=30, beam=30)
    with torch.no_grad():
        memory = recommender.encode(HISTORIES, LENGTHS)
        beam = beam_search(recommender.model, memory, recommender.constraint, 30)
        found = recommender.evidence(memory, beam, HISTORIES, LENGTHS)
    expected = 0.3 * found.sid + 0.3 * found.interest + 0.2 * found.walk + 0.2 * found.walk_undirected
    np.testing.assert_allclose(ranked.scores, expected.sort(dim=1, descending=True).values, rtol=1e-5)
    np.testing.assert_allclose(expected.sum(1), 1, rtol=1e-4)


def test_a_beam_without_a_weight_is_not_searched_for(recommender: Recommender, monkeypatch: pytest.MonkeyPatch) -> None:
    recommender.fusion = Fusion(Weights(0.0, 0.6, 0.4, 0.0), Weights(0.0, 0.3, 0.3, 0.4), 0.5)
    filters = [np.array([2, 7]), np.array([]), np.unique(HISTORIES[2, :1])]
    expected = recommender.rankings(HISTORIES, LENGTHS, 8, 20, filters)["fused"]

    def searched(*_: object) -> None:
        pytest.fail("searched for a beam")

    monkeypatch.setattr("s2gr.reasoner.recommender.beam_searches", searched)
    found = recommender.rank(HISTORIES, LENGTHS, 8, 20, filters)
    assert np.array_equal(found.items, expected.items)
    assert np.array_equal(found.scores, expected.scores)


def test_only_the_most_recent_items_are_read(recommender: Recommender) -> None:
    whole = recommender.encode(HISTORIES[1:2], LENGTHS[1:2])
    recent = recommender.encode(HISTORIES[1:2, -6:], np.array([6]))
    torch.testing.assert_close(whole.encoded, recent.encoded)


@pytest.mark.parametrize("ranking", ["beam", "fused"])
def test_excluded_items_do_not_come_up_and_the_list_stays_full(recommender: Recommender, ranking: str) -> None:
    free = recommender.rankings(HISTORIES, LENGTHS, k=10, beam=20)[ranking]
    exclude = [row[:4] for row in free.items]
    found = recommender.rankings(HISTORIES, LENGTHS, k=10, beam=20, exclude=exclude)[ranking]
    for row in range(3):
        assert not set(found.items[row]) & set(exclude[row])
        assert len(set(found.items[row])) == 10
        assert (found.items[row] >= 0).all()


@pytest.mark.parametrize("factor", [0.0, 0.5])
def test_what_the_user_has_met_counts_by_the_factor_for_repeats(recommender: Recommender, factor: float) -> None:
    plain = recommender.rank(HISTORIES, LENGTHS, k=30, beam=30)
    recommender.fusion = Fusion(FUSION.everything, FUSION.unseen, factor)
    scaled = recommender.rank(HISTORIES, LENGTHS, k=30, beam=30)
    for row, (history, length) in enumerate(zip(HISTORIES, LENGTHS, strict=True)):
        before = dict(zip(plain.items[row].tolist(), plain.scores[row].tolist(), strict=True))
        after = dict(zip(scaled.items[row].tolist(), scaled.scores[row].tolist(), strict=True))
        met = set(history[:length][-recommender.model.params.history :].tolist())
        assert after == pytest.approx({item: score * (factor if item in met else 1) for item, score in before.items()})


def test_items_beyond_the_history_that_is_read_count_as_others_do(recommender: Recommender) -> None:
    recommender.fusion = Fusion(FUSION.everything, FUSION.unseen, 0.0)
    whole = recommender.rank(HISTORIES[1:2], LENGTHS[1:2], k=30, beam=30)
    read = recommender.rank(HISTORIES[1:2, -6:], np.array([6]), k=30, beam=30)
    assert whole.items.tolist() == read.items.tolist()
    assert whole.items[0].tolist().index(HISTORIES[1, 0]) < 25


@pytest.fixture
def cases(recommender: Recommender) -> Cases:
    generator = np.random.default_rng(3)
    lengths = np.full(40, 20)
    items = generator.integers(0, 30, lengths.sum()).astype(np.int32)
    split = np.tile(np.array([TRAIN] * 18 + [VALIDATION, TEST], dtype=np.uint8), 40)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    users = [f"u{user}" for user in range(40)]
    return build_cases(Sequences(users, offsets, items, split, recommender.item_ids), "validation", 6)


def test_the_walks_are_those_that_rank_validation_best_without_seen_items(
    recommender: Recommender, cases: Cases
) -> None:
    def ndcg(kind: str, weights: WalkWeights) -> float:
        walk = GraphWalk(getattr(recommender.counts, kind), recommender.counts.popularity, weights)
        scores = walk.scores(cases.histories, cases.lengths)
        for row, seen in enumerate(cases.seen()):
            scores[row, seen] = -1
        best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
        # A target that was met before is left out with the seen ones.
        best[np.take_along_axis(scores, best, axis=1) <= 0] = -1
        return float(gains(ranks_in_list(best, cases.targets), 10).mean())

    found = choose_walks(recommender, cases)
    assert (found.everything, found.unseen) == (FUSION.everything, FUSION.unseen)
    for kind, chosen in (("directed", found.walk), ("undirected", found.walk_undirected)):
        assert ndcg(kind, chosen) == pytest.approx(max(ndcg(kind, weights) for weights in GRID))
    assert found != FUSION
    recommender.fusion = found
    assert (recommender.walk.weights, recommender.walk_undirected.weights) == (found.walk, found.walk_undirected)


def test_the_mixture_is_chosen_on_what_will_be_ranked(recommender: Recommender, cases: Cases) -> None:
    recommender.fusion = choose_walks(recommender, cases)
    walks = (recommender.fusion.walk, recommender.fusion.walk_undirected)
    recommender.fusion, scores = choose_fusion(recommender, cases)
    assert (recommender.fusion.walk, recommender.fusion.walk_undirected) == walks
    for exclude, name in ((None, "ndcg@10_fused"), (cases.seen(), "ndcg@10_fused_unseen")):
        found = recommender.rank(cases.histories, cases.lengths, 10, 20, exclude)
        assert gains(ranks_in_list(found.items, cases.targets), 10).mean() == pytest.approx(scores[name])


def test_each_user_of_a_batch_has_a_filter_of_their_own(recommender: Recommender) -> None:
    recommender.fusion = Fusion(FUSION.everything, FUSION.unseen, 0.25)
    met = [row[:length] for row, length in zip(HISTORIES, LENGTHS, strict=True)]
    nothing = np.array([], dtype=np.int64)
    # All of the history, nothing, something else: the weights for unseen items are for the first alone.
    filters = [met[0], nothing, np.array([9])]
    together = recommender.rank(HISTORIES, LENGTHS, k=8, beam=20, exclude=filters)
    unseen = recommender.rank(HISTORIES, LENGTHS, k=8, beam=20, exclude=met)
    everything = recommender.rank(HISTORIES, LENGTHS, k=30, beam=30)
    assert together.items[0].tolist() == unseen.items[0].tolist()
    wide = recommender.rank(HISTORIES, LENGTHS, k=30, beam=30, exclude=filters)
    assert wide.items[1].tolist() == everything.items[1].tolist()
    assert wide.items[2][:29].tolist() == [item for item in everything.items[2] if item != 9]


def test_recommend_allows_and_denies_by_id(recommender: Recommender) -> None:
    history = ["i03", "i01"]
    plain = [item.item_id for item in recommender.recommend(history, k=30)]
    assert set(plain) == set(recommender.item_ids) - set(history)
    assert len(recommender.recommend(history, k=30, exclude_seen=False)) == 30
    denied = recommender.recommend(history, k=5, deny=[*plain[:2], "of another shop"])
    assert not {item.item_id for item in denied} & {*plain[:2], *history}
    allowed = recommender.recommend(history, k=5, allow=[*plain[10:13], "i03"], deny=plain[10:11])
    assert {item.item_id for item in allowed} == set(plain[11:13])
    assert recommender.recommend(history, k=5, allow=[]) == []


def test_a_list_ends_early_when_the_catalogue_does(recommender: Recommender) -> None:
    exclude = [np.arange(27)] * 3
    for ranked in recommender.rankings(HISTORIES, LENGTHS, k=10, beam=20, exclude=exclude).values():
        assert all(set(row) == {27, 28, 29, -1} for row in ranked.items.tolist())


def write_inputs(workspace: Workspace, recommender: Recommender) -> None:
    sids = recommender.sids
    columns = {f"code_{level + 1}": sids.codes[:, level].astype(np.int32) for level in range(3)}
    write_table(pa.table({"item_id": sids.item_ids, **columns}), workspace.sids)
    titles = [f"Title of {item}" for item in sids.item_ids]
    write_table(pa.table({"item_id": sids.item_ids, "title": titles}), workspace.items)
    rows = {"user_id": ["u"] * 30, "item_id": sids.item_ids, "position": range(30), "split": ["train"] * 30}
    write_table(pa.table({**rows, "position": list(range(30))}), workspace.events)


def test_loads_what_it_saved(recommender: Recommender, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_inputs(workspace, recommender)
    recommender.fusion = replace(FUSION, walk=WalkWeights(0.2, 1, 0.8), walk_undirected=WalkWeights(0.4, 5, 0.0))
    recommender.save(workspace.reasoner)
    loaded = Recommender.load(workspace, Params())
    assert loaded.fusion == recommender.fusion
    assert loaded.walk.weights == WalkWeights(0.2, 1, 0.8)
    ours, theirs = (each.rankings(HISTORIES, LENGTHS, k=5, beam=20)["beam"] for each in (recommender, loaded))
    assert np.array_equal(ours.items, theirs.items)


def test_a_model_of_other_semantic_ids_is_refused(recommender: Recommender, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    recommender.save(workspace.reasoner)
    recommender.sids = SemanticIds(recommender.item_ids, recommender.sids.codes[::-1].copy())
    write_inputs(workspace, recommender)
    with pytest.raises(UserError, match="was trained on other semantic IDs"):
        Recommender.load(workspace, Params())


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["reasoner"].update(of_an_older_version=1),
        lambda config: config["reasoner"].update(dim=64),
        lambda config: config.update(reasoner=None),
        lambda config: config.update(codes_per_level="many"),
        lambda config: config.update(fusion=None),
        lambda config: config.pop("reasoner"),
        lambda config: config.pop("codes_per_level"),
        lambda config: config.pop("fusion"),
    ],
)
def test_a_model_of_another_version_is_one_line(
    recommender: Recommender, change: Callable[[dict[str, Any]], object], tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    write_inputs(workspace, recommender)
    recommender.save(workspace.reasoner)
    config = read_json(workspace.reasoner / "config.json")
    change(config)
    write_json(config, workspace.reasoner / "config.json")
    with pytest.raises(UserError, match=r"reasoner is damaged or of another version \(.*; run the stage") as found:
        Recommender.load(workspace, Params())
    assert "\n" not in str(found.value)


def test_a_missing_model_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model: run `make pipeline`"):
        Recommender.load(Workspace(tmp_path), Params())
