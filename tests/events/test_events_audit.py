"""The audit: every bad row is in the quarantine with its reason, and a log with too many of them is refused whole."""

import json

import pyarrow.parquet as pq
import pytest

from s2gr.errors import UserError
from s2gr.workspace import read_table

T = 1_400_000_000


def test_every_bad_row_is_quarantined_with_its_reason(run_events) -> None:
    events = [
        ("u", "a", str(T)),
        (None, "a", str(T)),
        ("u", " ", str(T)),
        ("u", "a", "yesterday"),
        ("u", "zebra", str(T)),
        ("u", "a", str(T)),
        ("u", "a", None),
        ("u", "b", str(T + 1)),
    ]
    items = [("a", "A", "x"), (None, "nameless", "x"), ("b", "B", "y"), ("a", "again", "x")]
    workspace, metrics = run_events(events, items, max_rejected=1.0)
    found = read_table(workspace.quarantine).to_pylist()
    assert [(row["file"], row["row"], row["reason"]) for row in found] == [
        ("items.parquet", 2, "missing_item_id"),
        ("items.parquet", 4, "duplicate_item"),
        ("log.parquet", 2, "missing_user"),
        ("log.parquet", 3, "missing_item"),
        ("log.parquet", 4, "unparsable_timestamp"),
        ("log.parquet", 5, "unknown_item"),
        ("log.parquet", 6, "duplicate_event"),
        ("log.parquet", 7, "unparsable_timestamp"),
    ]
    assert json.loads(found[4]["record"]) == {"user_id": "u", "item_id": "a", "timestamp": "yesterday"}
    assert metrics["rejected"] == {
        "total": 8,
        "missing_user": 1,
        "missing_item": 1,
        "unparsable_timestamp": 2,
        "unknown_item": 1,
        "duplicate_event": 1,
        "missing_item_id": 1,
        "duplicate_item": 1,
    }
    # Nothing is lost: what landed is in the log or in the quarantine.
    assert metrics["landed"] == metrics["events"] + sum(row["file"] == "log.parquet" for row in found)
    assert read_table(workspace.items)["title"].to_pylist() == ["A", "B"]


def test_the_same_item_at_another_time_is_no_duplicate(run_events) -> None:
    workspace, metrics = run_events([("u", "a", T), ("u", "a", T + 1), ("v", "a", T)])
    assert metrics["events"] == 3
    assert len(read_table(workspace.quarantine)) == 0


def test_a_log_with_too_many_bad_rows_is_refused_and_the_old_one_stays(run_events) -> None:
    workspace, _ = run_events([("u", "a", T)])
    before = workspace.events.read_bytes()
    bad = [("u", "a", str(T)), (None, "a", str(T)), ("u", None, str(T)), ("u", "b", "soon"), ("u", "b", str(T))]
    with pytest.raises(UserError) as caught:
        run_events(bad, max_rejected=0.5)
    message = str(caught.value)
    assert "log.parquet: 3 of 5 rows rejected (1 missing_user, 1 missing_item, 1 unparsable_timestamp)" in message
    assert "events.max_rejected = 0.5" in message
    assert 'the first is row 2 (missing_user): {"user_id":null,"item_id":"a"' in message
    assert "\n" not in message
    refused = workspace.state / "refused_quarantine.parquet"
    assert str(refused) in message
    assert len(pq.read_table(refused)) == 3
    assert workspace.events.read_bytes() == before


def test_a_bad_items_file_is_refused_too(run_events) -> None:
    with pytest.raises(UserError, match=r"items\.parquet: 2 of 3 rows rejected \(2 duplicate_item\)"):
        run_events([("u", "a", T)], [("a", "A", "x")] * 3)


def test_a_share_of_bad_rows_at_the_limit_is_accepted(run_events) -> None:
    _, metrics = run_events([("u", "a", T), (None, "a", T)], max_rejected=0.5)
    assert metrics["rejected"]["missing_user"] == 1


def test_a_log_without_rows_is_refused(run_events) -> None:
    with pytest.raises(UserError, match=r"log\.parquet has no rows"):
        run_events([])
