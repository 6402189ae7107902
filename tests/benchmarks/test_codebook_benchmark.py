"""The codebook's benchmark: it runs without peers and without data, and says what it measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import codebook
from benchmarks.catalogue import clustered, write_catalogue
from benchmarks.quantizers import PEERS
from benchmarks.report import row


def test_ratio_is_ours_by_theirs() -> None:
    assert row("x", 3.0, 2.0) == {"name": "x", "ours": 3.0, "peer": 2.0, "ratio": 1.5}
    assert row("x", 3.0)["ratio"] is None


def test_synthetic_items_are_repeatable_directions(tmp_path: Path) -> None:
    items = clustered(300, 16, seed=1)
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), np.ones(300), rtol=1e-5)
    np.testing.assert_array_equal(items, clustered(300, 16, seed=1))
    assert len(np.unique(items, axis=0)) == 300
    write_catalogue(tmp_path / "e.npy", 300, 16)
    np.testing.assert_allclose(np.load(tmp_path / "e.npy"), clustered(300, 16, seed=0), atol=1e-3)


def test_contenders_take_turns_and_the_first_epoch_does_not_count() -> None:
    calls: list[tuple[str, int]] = []
    contenders = {name: lambda epochs, name=name: calls.append((name, epochs)) for name in "ab"}
    speeds = codebook.alternating(contenders, items=10, epochs=3, repeats=2)
    assert calls == [("a", 1), ("b", 1), ("a", 3), ("b", 3), ("a", 3), ("b", 3)]
    assert set(speeds) == {"a", "b"}


def test_without_peers_it_says_how_to_get_them_and_measures_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(codebook, "find_spec", lambda package: None)
    monkeypatch.setattr(codebook, "processor_has_bf16", lambda: False)
    monkeypatch.setattr(codebook, "read_items", lambda data, quick: clustered(1_500, 24, seed=0))
    codebook.main(json=tmp_path / "rows.json", quick=True, threads=1, catalogue=0)
    printed = capsys.readouterr().out
    for name in PEERS:
        assert name in printed
    assert "pip install s2gr[peers]" in printed
    (found,) = json.loads((tmp_path / "rows.json").read_text())
    assert found["ours"] > 0
    assert found["peer"] is None
    assert {"name", "ratio", "machine", "commit"} <= set(found)


def test_a_catalogue_gets_unique_ids_in_a_process_of_its_own() -> None:
    (found,) = codebook.catalogue_rows(3_000, threads=1)
    assert found["unique"] == 3_000
    assert found["ours"] == found["seconds"] > 0
    assert 0 < found["peak_gb"] < 4
