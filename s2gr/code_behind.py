"""Which sources of the project a module rests on: itself and all that it imports, directly or through others.

Read from the import statements, also those inside functions, so that the answer does not hang on what a process
happens to have imported already.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Code that may be found behind a module.
PACKAGES = ("s2gr", "data_checks")


def sources(modules: Iterable[str]) -> set[Path]:
    """The Python files behind ``modules``, and the SQL beside them; relative to the project."""
    seen: set[Path] = set()
    waiting = [file for module in modules for file in _files_of(module)]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            imports = _imports((ROOT / file).read_text(encoding="utf-8"))
            waiting += [found for module in imports for found in _files_of(module)]
    folders = {file.parent for file in seen} - {Path(package) for package in PACKAGES}
    return seen | {path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).glob("*.sql")}


@cache
def digest_of_code(*modules: str) -> str:
    """:func:`current_digest`, as it is when it is first asked for."""
    return current_digest(modules)


def current_digest(modules: Iterable[str]) -> str:
    """One digest of :func:`sources`, as they are now."""
    digest = hashlib.sha256()
    for path in sorted(sources(modules)):
        digest.update(f"{path} {hashlib.sha256((ROOT / path).read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


@cache
def _imports(source: str) -> list[str]:
    """The modules that a file with this text imports, and what it takes from them, which may be modules, too.

    None as long as it is no Python, amid an edit.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _files_of(module: str) -> Iterator[Path]:
    """The files that importing ``module`` runs, if it is ours: its packages and itself."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return
    for end in range(1, len(parts) + 1):
        base = Path(*parts[:end])
        yield from (path for path in (base.with_suffix(".py"), base / "__init__.py") if (ROOT / path).exists())
