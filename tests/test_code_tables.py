"""The codebook at a glance: usage as bars, the largest codes by name."""

from pathlib import Path

from rich.console import Console

from s2gr.code_tables import bars, code_tables
from s2gr.workspace import Workspace


def shown(workspace: Workspace) -> str:
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as captured:
        for table in code_tables(workspace):
            console.print(table)
    return captured.get()


def test_bars_fall_with_use_and_nothing_is_blank() -> None:
    assert bars([8, 4, 1, 0]) == "█▅▂ "
    assert bars([3] * 200) == "█" * 64
    assert bars([0, 0]) == "  "


def test_every_level_and_the_largest_codes_are_shown(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.plot("codes").parent.mkdir()
    workspace.plot("code_usage").write_text("level,code,items\n1,0,3\n1,1,0\n2,0,2\n2,1,1\n")
    workspace.plot("codes").write_text(
        "code,items,name,example_1,example_2,example_3\n0,1,,Other,,\n1,12,[b]soap,A soap,B soap,\n"
    )
    told = shown(workspace)
    assert "█" in told
    # Names are shown as they are, the largest code first.
    assert told.index("[b]soap") < told.index("Other")


def test_without_the_reports_there_is_nothing(tmp_path: Path) -> None:
    assert shown(Workspace(tmp_path)) == ""
