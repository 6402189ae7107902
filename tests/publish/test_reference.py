"""What the published model says of its own held-out users, which drift is measured against."""

from __future__ import annotations

import numpy as np
import pytest

from s2gr.publish import reference
from s2gr.workspace import Workspace, read_table


@pytest.mark.parametrize(("days", "fewest", "users"), [(5.0, 3, 11), (1.0, 3, 3), (5.0, 300, 40), (None, 3, 40)])
def test_recall_is_that_of_the_newest_held_out_events(
    finished: Workspace, monkeypatch: pytest.MonkeyPatch, days: float | None, fewest: int, users: int
) -> None:
    # 40 users one after the other, 12 events each, an hour apart: a last event every half day.
    monkeypatch.setattr(reference, "_FEWEST", fewest)
    found = reference.held_out(finished, days)
    names = read_table(finished.events, ["user_id"])["user_id"]
    expected = [f"u{user:02}" for user in range(40 - users, 40)]
    assert [names[row].as_py() for row in found.targets.tolist()] == expected
    assert np.all(np.diff(found.users) >= 0)
