"""Going back to an earlier version, and what was withdrawn stays so."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from s2gr.errors import UserError
from s2gr.manifest import read_manifest
from s2gr.publish.publishing import Outcome, Verdict, publish
from s2gr.publish.versions import GoneBack, current_version, locked, rollback, switch
from s2gr.workspace import Workspace

from ..later import evaluated
from .variants import MadeWith, other


def test_what_was_withdrawn_does_not_come_back_by_itself(finished: Workspace, made_with: MadeWith) -> None:
    first = publish(finished, other(made_with, 0)).current
    second = publish(finished, other(made_with, 1)).current
    assert rollback(finished.published).version == first
    assert publish(finished, other(made_with, 1)) == Outcome("withdrawn", first)
    assert rollback(finished.published, second).version == second
    # Now the first is withdrawn.
    assert publish(finished, other(made_with, 0)) == Outcome("withdrawn", second)
    forced = publish(finished, other(made_with, 0), force=True)
    assert forced.kind == "published"
    assert current_version(finished.published) == forced.current not in {first, second}


def test_a_withdrawn_model_does_not_come_back_with_other_parameters(finished: Workspace, made_with: MadeWith) -> None:
    good = publish(finished, made_with()).current
    weights = finished.reasoner / "config.json"
    weights.write_text(weights.read_text() + "\n")
    evaluated(finished)
    bad = publish(finished, made_with()).current
    rollback(finished.published)
    assert publish(finished, made_with(serve={"decoders": 4})) == Outcome("withdrawn", good)
    rollback(finished.published, bad)
    assert publish(finished, made_with(serve={"decoders": 4})).kind == "published"


def test_a_withdrawn_model_stays_withdrawn_where_what_is_served_is_damaged(
    finished: Workspace, made_with: MadeWith
) -> None:
    first = publish(finished, other(made_with, 0)).current
    publish(finished, other(made_with, 1))
    rollback(finished.published)
    (finished.published / first / "params.yaml").write_text("damaged")
    assert publish(finished, other(made_with, 1)) == Outcome("withdrawn", first)
    # What is served can be published anew.
    assert publish(finished, other(made_with, 0)).kind == "published"


def test_there_must_be_something_to_go_back_to(finished: Workspace, made_with: MadeWith) -> None:
    with pytest.raises(UserError, match="nothing is published in"):
        rollback(finished.published)
    first = publish(finished, made_with()).current
    with pytest.raises(UserError, match=f"no whole version before {first}"):
        rollback(finished.published)
    with pytest.raises(UserError, match=f"no version 'v7' in .*; there are: {first}"):
        rollback(finished.published, "v7")


def test_going_back_passes_over_a_damaged_version(finished: Workspace, made_with: MadeWith) -> None:
    made = [publish(finished, other(made_with, number)).current for number in range(3)]
    (finished.published / made[1] / "data/sids.parquet").write_bytes(b"")
    with pytest.raises(UserError, match=r"sids.parquet is damaged: its SHA-256"):
        rollback(finished.published, made[1])
    assert rollback(finished.published).version == made[0]


def test_going_back_waits_for_no_gate_which_judges_again(finished: Workspace, made_with: MadeWith) -> None:
    first, second = (publish(finished, other(made_with, number)).current for number in range(2))
    against = []

    def gate(challenger: Workspace, champion: Workspace | None) -> Verdict:
        assert champion is not None
        against.append(champion.root.name)
        if len(against) == 1:
            assert people.submit(rollback, finished.published).result(20) == GoneBack(first, second)
            assert current_version(finished.published) == first
        # What is found against the version that was left counts neither way.
        return Verdict(len(against) == 2, "better")

    with ThreadPoolExecutor(1) as people:
        assert publish(finished, other(made_with, 2), gate).kind == "published"
    assert against == [second, first]
    assert read_manifest(finished.published / "current").facts["previous"] == first


def test_what_is_withdrawn_while_it_is_judged_is_not_published(finished: Workspace, made_with: MadeWith) -> None:
    _, second, third = (publish(finished, other(made_with, number)).current for number in range(3))

    def gate(challenger: Workspace, champion: Workspace | None) -> Verdict:
        rollback(finished.published, second)
        rollback(finished.published, third)
        return Verdict(True, "better")

    assert publish(finished, other(made_with, 1), gate) == Outcome("withdrawn", third)


def test_going_back_is_refused_where_another_version_is_served_by_then(
    finished: Workspace, made_with: MadeWith, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("s2gr"), "propagate", True)
    first, second = (publish(finished, other(made_with, number)).current for number in range(2))
    with ThreadPoolExecutor(1) as people:
        with locked(finished.published):
            going, until = people.submit(rollback, finished.published), time.monotonic() + 20
            while f"waiting for process {os.getpid()}, which switches versions" not in caplog.text:
                assert time.monotonic() < until
                time.sleep(0.01)
            switch(finished.published, first)
        with pytest.raises(UserError, match=f"expected to go back from {second}, found that {first} is served"):
            going.result()
    assert current_version(finished.published) == first
