"""A landing folder of many files, and the stage on it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from s2gr.params import Params
from s2gr.stage import execute
from s2gr.workspace import Workspace, read_table

T = 1_400_000_000
Row = tuple[str, str, int]


class Folder:
    """A landing folder and the stage on it."""

    def __init__(self, root: Path) -> None:
        self.root, self.landing = root, root / "landing"
        self.landing.mkdir(parents=True)
        self.workspace = Workspace(root / "work")

    def write(
        self, name: str, rows: list[Row] | list[tuple[Any, ...]], header: str = "user_id,item_id,timestamp"
    ) -> Path:
        path = self.landing / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
        return path

    def items(self, name: str, rows: list[tuple[Any, ...]], header: str = "item_id,title,text") -> Path:
        return self.write(name, rows, header)

    def run(self, source: dict[str, Any] | None = None, **section: Any) -> dict[str, Any]:
        params = Params.model_validate(
            {
                "runtime": {"threads": 2},
                "source": {"kind": "files", "path": self.landing, **(source or {})},
                "events": {"k_core": 1, **section},
            }
        )
        return dict(execute("events", params, self.workspace))

    def log(self) -> list[Row]:
        rows = read_table(self.workspace.events).to_pylist()
        return [(row["user_id"], row["item_id"], round(row["timestamp"].timestamp()) - T) for row in rows]

    def bytes(self) -> tuple[bytes, bytes]:
        return self.workspace.events.read_bytes(), self.workspace.items.read_bytes()

    def batches(self) -> dict[str, dict[str, Any]]:
        return {row["file"]: row for row in read_table(self.workspace.batches).to_pylist()}


def made_up(users: int, events: int, seed: int) -> list[Row]:
    """In the order of time, with many ties."""
    generator = random.Random(seed)
    rows = {
        (f"u{generator.randrange(users)}", f"i{generator.randrange(40)}", T + generator.randrange(events // 4))
        for _ in range(events)
    }
    return sorted(rows, key=lambda row: (row[2], generator.random()))
