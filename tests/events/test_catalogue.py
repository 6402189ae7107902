"""The catalogue of many files of items: of each item the newest row counts."""

from __future__ import annotations

from s2gr.workspace import read_table

from .folder import Folder, T


def test_later_items_files_extend_the_catalogue_and_make_quarantined_events_sound(folder: Folder) -> None:
    folder.write("log.csv", [("u", "a", T), ("u", "new", T + 1)])
    folder.items("items-1.csv", [("a", "A", "first")])
    assert folder.run(max_rejected=0.5)["rejected"] == {"total": 1, "unknown_item": 1}
    folder.items("items-2.csv", [("new", "New", "second")])
    assert folder.run(max_rejected=0.5)["rejected"] == {"total": 0}
    assert read_table(folder.workspace.items)["title"].to_pylist() == ["A", "New"]
    assert [item for _, item, _ in folder.log()] == ["a", "new"]


def test_of_two_rows_of_one_item_the_newer_counts_whatever_the_files_are_called(
    folder: Folder, warnings: list[str]
) -> None:
    folder.write("log.csv", [("u", "a", T), ("u", "b", T + 1), ("u", "c", T + 2)])
    header = "item_id,title,text,updated"
    folder.items("x.csv", [("a", "A new", "t", "2024-02-01"), ("b", "B new", "t", "2024-02-01")], header)
    folder.items(
        "y.csv", [("a", "A", "t", "2024-01-01"), ("b", "B newest", "t", "2024-03-01"), ("b", "B", "t", 0)], header
    )
    folder.items("z.csv", [("a", "undated", "t"), ("b", "undated", "t"), ("c", "C", "t"), ("d", "D", "t")])
    metrics = folder.run()
    assert read_table(folder.workspace.items)["title"].to_pylist() == ["A new", "B newest", "C"]
    assert metrics["items_disagreeing"] == 0
    # A row that another one has outdated is no bad row.
    assert metrics["rejected"] == {"total": 0}
    assert not warnings


def test_an_updated_that_is_no_time_is_told(folder: Folder, warnings: list[str]) -> None:
    folder.write("log.csv", [("u", "a", T), ("u", "b", T + 1)])
    header = "item_id,title,text,updated"
    folder.items("old.csv", [("a", "A", "t", "2024-01-01"), ("b", "B", "t", "")], header)
    folder.items("new.csv", [("b", "B", "t", "2024-02-01"), ("a", "A new", "t", "01.02.2024")], header)
    folder.run()
    assert read_table(folder.workspace.items)["title"].to_pylist() == ["A", "B"]
    batches = folder.batches()
    assert (batches["old.csv"]["failed_checks"], batches["new.csv"]["failed_checks"]) == ([], ["batch_updated_read"])
    assert warnings[0].startswith(
        "new.csv: 1 of 2 values in column 'updated' are no times, the first is '01.02.2024': these rows count as older"
    )


def test_where_no_time_tells_the_larger_catalogue_counts_and_a_warning_says_so(
    folder: Folder, warnings: list[str]
) -> None:
    folder.write("log.csv", [("u", "a", T), ("u", "b", T + 1)])
    folder.items("2-old.csv", [("a", "A", "old")])
    folder.items("1-new.csv", [("a", "A", "new"), ("b", "B", "b")])
    metrics = folder.run()
    assert read_table(folder.workspace.items)["text"].to_pylist() == ["A. new", "B. b"]
    assert metrics["items_disagreeing"] == 1
    assert [line for line in warnings if "1 items are described differently" in line and "updated" in line]
