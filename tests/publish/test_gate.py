"""Who may take the champion's place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from s2gr.manifest import read_manifest
from s2gr.params import Params
from s2gr.publish import gate
from s2gr.publish.gate import Gate, measured, newest_held_out
from s2gr.publish.publishing import publish
from s2gr.publish.shown import told
from s2gr.publish.versions import current_bundle, current_version
from s2gr.reasoner.recommender import Recommender
from s2gr.workspace import Workspace, write_table

from ..later import USERS, evaluated, land, later, sentinel, walk

MadeWith = Callable[..., Params]
FIGURES = ("recall@10", "ndcg@10", "recall@10_seen_filtered", "ndcg@10_seen_filtered")


@pytest.fixture
def work(finished: Workspace, made_with: MadeWith) -> Workspace:
    """A champion is published, and every user has come back since."""
    publish(finished, made_with())
    land(finished, later(walk()))
    return finished


@pytest.fixture
def champion(work: Workspace) -> Workspace:
    return Workspace(current_bundle(work.published))


def values(share: float, users: int = 400) -> Any:
    found = np.zeros(users)
    found[: round(share * users)] = 1
    return np.random.default_rng(round(share * 1000)).permutation(found)


@pytest.fixture
def rank(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, float]], None]:
    """Let the champion find a tenth of the targets by each figure, and the challenger what is said."""

    def rank(challenger: dict[str, float]) -> None:
        def found(bundle: Workspace, events: Any, k: int, params: Params) -> dict[str, Any]:
            shares = dict.fromkeys(FIGURES, 0.1) | (challenger if bundle.root.name == "challenger" else {})
            return {name: values(share) for name, share in shares.items()}

        monkeypatch.setattr(gate, "measured", found)

    return rank


def judge(work: Workspace, champion: Workspace, params: Params, faults: tuple[str, ...] = ()) -> Any:
    return Gate(work, params, faults)(Workspace(Path("challenger")), champion)


def params_of(made_with: MadeWith, users: int = 20) -> Params:
    return made_with(retraining={"users": users})


def test_significantly_better_in_one_and_worse_in_none_passes(
    work: Workspace, champion: Workspace, made_with: MadeWith, rank: Any
) -> None:
    rank({"ndcg@10": 0.25})
    verdict = judge(work, champion, params_of(made_with))
    assert verdict.passed
    assert verdict.told == "significantly better in ndcg@10 (0.1000 → 0.2500), worse in nothing"
    assert verdict.figures["users"] == USERS
    assert verdict.figures["ndcg@10"]["verdict"] == "better"


def test_better_in_three_and_worse_in_one_is_rejected(
    work: Workspace, champion: Workspace, made_with: MadeWith, rank: Any
) -> None:
    rank({"ndcg@10": 0.3, "recall@10": 0.3, "ndcg@10_seen_filtered": 0.3, "recall@10_seen_filtered": 0.02})
    verdict = judge(work, champion, params_of(made_with))
    assert not verdict.passed
    assert verdict.told == "significantly worse in recall@10_seen_filtered (0.1000 → 0.0200)"


def test_a_little_better_is_not_enough(work: Workspace, champion: Workspace, made_with: MadeWith, rank: Any) -> None:
    rank({"ndcg@10": 0.11})
    verdict = judge(work, champion, params_of(made_with))
    assert not verdict.passed
    assert verdict.told == "not significantly better in anything; most in ndcg@10 (0.1000 → 0.1100)"


def test_equals_pass_as_rarely_as_the_level_says() -> None:
    # Four figures of one level each would let more through than that; they share it.
    generator, passed = np.random.default_rng(0), 0
    for draw in range(200):
        better = [
            gate.compare(
                (generator.random(200) < 0.2) * 1.0,
                (generator.random(200) < 0.2) * 1.0,
                500,
                np.random.default_rng(draw),
                gate.LEVEL / 4,
            ).verdict
            == "better"
            for _ in range(4)
        ]
        passed += any(better)
    # Half of 5 % is what two-sided intervals leave to "better"; more than 14 of 200 have a probability below 0.1 %.
    assert passed <= 14


def test_failed_checks_reject_whatever_the_figures(
    work: Workspace, champion: Workspace, made_with: MadeWith, rank: Any
) -> None:
    rank(dict.fromkeys(FIGURES, 0.9))
    verdict = judge(work, champion, params_of(made_with), ("sids_unique (observed 3, expected 0)",))
    assert not verdict.passed
    assert verdict.told == "1 checks failed: sids_unique (observed 3, expected 0)"


def test_too_few_users_can_tell_nothing(work: Workspace, champion: Workspace, made_with: MadeWith) -> None:
    verdict = judge(work, champion, params_of(made_with, users=41))
    assert not verdict.passed
    assert verdict.told == "40 users have held-out events since the champion's log; 41 are needed"


def test_cases_are_last_events_that_are_newer_than_the_champions_log(finished: Workspace, made_with: MadeWith) -> None:
    publish(finished, made_with())
    more = later(walk())
    land(finished, more.slice(0, 100))
    champion = Workspace(current_bundle(finished.published))
    found = newest_held_out(finished, champion)
    log = pq.read_table(finished.events)
    users = [log["user_id"][row].as_py() for row in found.targets.tolist()]
    assert users == [f"u{user:02}" for user in range(10)]
    assert [found.item_ids[row].as_py() for row in found.targets.tolist()] == more["item_id"].to_pylist()[9:100:10]


def test_a_time_of_no_clock_ends_no_log(finished: Workspace, made_with: MadeWith) -> None:
    land(finished, sentinel())
    evaluated(finished)
    publish(finished, made_with())
    land(finished, later(walk()).slice(10))
    champion = Workspace(current_bundle(finished.published))
    # The one user with that time has nothing new.
    assert len(newest_held_out(finished, champion).targets) == USERS - 1
    # It is no reason either to take a model for older than one whose log had it.
    assert not read_manifest(champion.root).facts["log"]["last"].startswith("9999")


def test_what_the_challenger_was_chosen_by_is_no_case(work: Workspace, champion: Workspace) -> None:
    log = pq.read_table(work.events)
    # As a temporal split does it: the last events of the first ten users came before the cut for test.
    validation = pc.less(log["user_id"].cast(pa.string()), "u10")
    split = pc.if_else(validation, "validation", log["split"].cast(pa.string())).cast(log.schema.field("split").type)
    write_table(log.set_column(log.schema.get_field_index("split"), "split", split), work.events)
    found = newest_held_out(work, champion)
    assert [log["user_id"][row].as_py() for row in found.targets.tolist()] == [f"u{user:02}" for user in range(10, 40)]


def test_both_are_measured_by_what_they_recommend_to_the_same_users(
    work: Workspace, champion: Workspace, made_with: MadeWith
) -> None:
    events = newest_held_out(work, champion)
    found = measured(champion, events, 10, made_with())
    recommender = Recommender.load(champion, made_with())
    items, users = events.item_ids.to_pylist(), events.users
    for case, row in enumerate(events.targets.tolist()):
        start = int(np.searchsorted(users, users[row]))
        listed = recommender.recommend(items[start:row], k=10)
        hit = items[row] in [item.item_id for item in listed]
        assert found["recall@10_seen_filtered"][case] == hit
    assert set(found) == set(FIGURES)


def test_a_target_or_a_history_that_a_model_does_not_know_is_a_miss(finished: Workspace, made_with: MadeWith) -> None:
    publish(finished, made_with())
    land(finished, later(lambda user, step: "unknown"))
    champion = Workspace(current_bundle(finished.published))
    found = measured(champion, newest_held_out(finished, champion), 10, made_with())
    assert all(not value.any() for value in found.values())
    assert all(len(value) == USERS for value in found.values())


def test_the_same_model_again_does_not_replace_the_champion(work: Workspace, made_with: MadeWith) -> None:
    before = current_version(work.published)
    params = made_with(retraining={"users": 20}, evaluation={"bootstrap": 123})
    evaluated(work)
    outcome = publish(work, params, Gate(work, params))
    assert outcome.kind == "rejected"
    assert outcome.verdict is not None
    assert "not significantly better" in outcome.verdict.told
    assert current_version(work.published) == before


def test_without_a_champion_the_checks_are_held_all_the_same(finished: Workspace, made_with: MadeWith) -> None:
    params = made_with()
    refused = publish(finished, params, Gate(finished, params, ["sids: unique"]))
    assert (refused.kind, refused.current) == ("rejected", "")
    assert "nothing goes on being served" in told(refused, finished)
    admitted = publish(finished, params, Gate(finished, params))
    assert admitted.kind == "published"
    # Damaged, what is served is no champion.
    (finished.published / admitted.current / "params.yaml").write_text("seed: 1\n")
    changed = made_with(evaluation={"bootstrap": 123})
    damaged = publish(finished, changed, Gate(finished, changed, ["sids: unique"]))
    assert (damaged.kind, damaged.current) == ("rejected", admitted.current)
