"""A stage whose sources are edited under it keeps nothing, however it was started."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from s2gr import unchanged
from s2gr.errors import UserError
from s2gr.params import load_params


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with one imported module, one that is not, and a query."""
    folder = tmp_path / "edited_package"
    for path in ("__init__.py", "used/__init__.py", "used/model.py", "used/query.sql", "idle/__init__.py"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("", encoding="utf-8")
    (tmp_path / "params.yaml").write_text("reasoner: {epochs: 3}\nevaluation: {bootstrap: 200}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(unchanged, "PACKAGE", folder)
    importlib.import_module("edited_package.used.model")
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "edited_package"]:
        del sys.modules[name]


@pytest.mark.parametrize("path", ["used/model.py", "used/query.sql"])
def test_an_edited_source_is_refused_by_name(package: Path, path: str) -> None:
    files = [package.parent / "params.yaml"]
    verify = unchanged.watch(("runtime", "reasoner"), files, load_params(files))
    verify()
    (package / path).write_text("-- edited", encoding="utf-8")
    with pytest.raises(UserError, match=rf"^edited_package/{path} changed while the stage ran"):
        verify()


def test_a_source_that_the_stage_does_not_use_may_change(package: Path) -> None:
    files = [package.parent / "params.yaml"]
    verify = unchanged.watch(("runtime", "reasoner"), files, load_params(files))
    (package / "idle/__init__.py").write_text("edited = True", encoding="utf-8")
    verify()


def test_its_own_section_may_not_change_and_another_stages_may(package: Path) -> None:
    file = package.parent / "params.yaml"
    verify = unchanged.watch(("runtime", "reasoner"), [file], load_params([file]))
    file.write_text("reasoner: {epochs: 3}\nevaluation: {bootstrap: 300}\n", encoding="utf-8")
    verify()
    file.write_text("reasoner: {epochs: 4}\nevaluation: {bootstrap: 300}\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"section `reasoner` of .*params.yaml changed while the stage ran"):
        verify()
