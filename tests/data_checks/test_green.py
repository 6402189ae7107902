"""What keeps a challenger from being published, whatever it recommends."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_checks import sids
from data_checks.green import faults
from s2gr.params import Params
from s2gr.workspace import Workspace

Spoil = Callable[[Any], None]


@pytest.fixture(autouse=True)
def only_semantic_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other suites have nothing to do with it, and take seconds."""
    monkeypatch.setattr("data_checks.green.SUITES", {"sids": sids})


def sound(artefacts: Any) -> None:
    pass


def small(artefacts: Any) -> None:
    """As on a small catalogue: the first level leaves nothing over for the others."""
    artefacts.config["codes"] = 64


def bundle(artefacts: Any, root: Path) -> Workspace:
    """As published: with the log where drift looks for it."""
    champion = Workspace(artefacts.write(root))
    champion.reference_log.parent.mkdir()
    shutil.move(champion.events, champion.reference_log)
    return champion


@pytest.mark.parametrize(
    ("of_champion", "expected"), [(sound, ["codes_used (observed 0.125, expected at least 0.8)"]), (small, [])]
)
def test_a_warning_on_semantic_ids_is_a_fault_where_the_champion_passes_it(
    make: Callable[..., Any], tmp_path: Path, of_champion: Spoil, expected: list[str]
) -> None:
    before, now = make(), make()
    of_champion(before)
    champion = bundle(before, tmp_path / "champion")
    small(now)
    assert faults(now.write(tmp_path / "work"), Params(), champion) == expected


def test_a_critical_check_is_a_fault_and_a_warning_none_where_there_is_no_champion(
    artefacts: Any, tmp_path: Path
) -> None:
    small(artefacts)
    for level in ("code_1", "code_2", "code_3"):
        artefacts.sids[level][1] = artefacts.sids[level][0]
    root = artefacts.write(tmp_path / "work")
    # Nor where it can't be read.
    for champion in (None, Workspace(tmp_path / "nothing")):
        assert faults(root, Params(), champion) == ["sids_unique (observed 1, expected 0)"]
