"""Refuse a run whose code or parameters changed under it.

DVC records the hashes of a stage's dependencies after its command has ended, so a file edited while a model trains
would be attributed to that model. The stage therefore looks itself: what it has loaded must still be what lies on
disk when it is about to publish its outputs.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from s2gr.errors import UserError
from s2gr.params import Params, load_params

PACKAGE = Path(__file__).parent
# The stage `events` asks it for a verdict on every landed file.
CHECKS = PACKAGE.with_name("data_checks")


def watch(sections: Sequence[str], files: Sequence[Path], params: Params) -> Callable[[], None]:
    """Remember the sources as they are now; the returned function raises if those that were used changed since.

    Args:
        sections: of the parameters, those that the stage reads; others may change.
        files: the parameter files, as given to :func:`load_params`.
        params: what they held when the stage began.
    """
    folders = (PACKAGE, CHECKS)
    sources = (path for folder in folders for path in folder.rglob("*"))
    before = {path: _digest(path) for path in sources if path.suffix in {".py", ".sql"}}

    def verify() -> None:
        changed = [path for path in _used(*folders) if before.get(path) != _digest(path)]
        if changed:
            raise UserError(
                f"{changed[0].relative_to(PACKAGE.parent)} changed while the stage ran, so its result would be "
                "attributed to code that did not make it; nothing was published, run the stage again"
            )
        now = load_params(files)
        for section in sections:
            if getattr(now, section) != getattr(params, section):
                raise UserError(
                    f"section `{section}` of {files[-1]} changed while the stage ran; "
                    "nothing was published, run the stage again"
                )

    return verify


def _used(*packages: Path) -> list[Path]:
    """The modules of the packages that this process has imported, and the SQL beside them."""
    modules = {Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    inside = {path for path in modules if any(package in path.parents for package in packages)}
    folders = {path.parent for path in inside} - set(packages)
    return sorted(inside | {path for folder in folders for path in folder.glob("*.sql")})


def _digest(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.exists() else "missing"
