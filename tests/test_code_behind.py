from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from s2gr import code_behind
from s2gr.code_behind import digest_of_code, sources


def test_what_a_process_has_imported_besides_does_not_count() -> None:
    """A run that was killed is taken up by a process that skips the stages before."""
    ask = "from s2gr.code_behind import digest_of_code; print(digest_of_code('s2gr.reasoner.stage'))"
    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for code in (ask, f"import s2gr.workspace, s2gr.params; {ask}")
    }
    assert len(found) == 1


def test_lazy_imports_and_queries_count_and_what_is_not_imported_does_not() -> None:
    behind = sources(["s2gr.recommendations.stage"])
    for path in ("s2gr/recommendations/summary.sql", "s2gr/reasoner/decoding.py", "s2gr/__init__.py"):
        assert Path(path) in behind
    assert Path("s2gr/evaluation/stage.py") not in behind
    # `start_fabric` imports nothing of ours; `stage_function` imports by name, which is no dependency.
    assert not any(path.parts[0] == "orchestration" for path in behind)


def test_an_edit_of_what_lies_behind_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "s2gr"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "first.py").write_text("def f():\n    import s2gr.second\n")
    (package / "second.py").write_text("x = 1\n")
    monkeypatch.setattr(code_behind, "ROOT", tmp_path)
    before = digest_of_code.__wrapped__("s2gr.first")
    (package / "third.py").write_text("")
    assert digest_of_code.__wrapped__("s2gr.first") == before
    (package / "second.py").write_text("x = 2\n")
    assert digest_of_code.__wrapped__("s2gr.first") != before
