"""What dvc.yaml, dvc.lock and the working tree say about each stage, read without DVC.

Two versions of a stage follow from them. Its *code version* sums up what it is run with (command, code, parameters);
its *data version* sums up what came out (the md5 of its outs). Both can be computed from what DVC recorded in dvc.lock,
the first one also from the files as they are now: a difference means that the stage is out of date.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from s2gr.code_behind import PACKAGES

# As in .dvcignore.
_NO_SOURCE = {".pyc", ".pyo", ".pyd"}
# A sensor reads dvc.lock again and again, and Python takes ten times as long as C.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


@dataclass(frozen=True)
class Stage:
    """One entry of `stages:` in dvc.yaml, with its variables filled in."""

    name: str
    command: str
    description: str
    code: tuple[str, ...]
    data: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]
    metrics: tuple[str, ...]
    group: str
    kinds: tuple[str, ...]
    owners: tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """A folder with dvc.yaml and params.yaml."""

    root: Path

    @cached_property
    def stages(self) -> Mapping[str, Stage]:
        """By name, each after those it depends on.

        Raises: ValueError: if the stages depend on each other in a circle.
        """
        stages = {name: self._stage(name, entry) for name, entry in _load(self.root / "dvc.yaml")["stages"].items()}
        ordered: dict[str, Stage] = {}
        while len(ordered) < len(stages):
            ready = [
                name
                for name, stage in stages.items()
                if name not in ordered and _parents(stage, stages.values()) <= ordered.keys()
            ]
            if not ready:
                raise ValueError(f"dvc.yaml: {', '.join(stages.keys() - ordered.keys())} depend on each other")
            ordered |= {name: stages[name] for name in ready}
        return ordered

    def upstream(self, stage: Stage) -> list[str]:
        """The stages that make this one's data, in pipeline order."""
        parents = _parents(stage, self.stages.values())
        return [name for name in self.stages if name in parents]

    def recorded(self, name: str) -> Mapping[str, Any] | None:
        """The stage's entry in dvc.lock, if it ever ran."""
        lock = self.root / "dvc.lock"
        entry: Mapping[str, Any] | None = _load(lock).get("stages", {}).get(name) if lock.exists() else None
        return entry

    def recorded_data_version(self, name: str) -> str | None:
        """The md5 that DVC recorded for the stage's out; of several outs, the md5 of the list."""
        entry = self.recorded(name)
        if not entry or not entry.get("outs"):
            return None
        outs = sorted((out["path"], out["md5"]) for out in entry["outs"])
        return str(outs[0][1]) if len(outs) == 1 else _md5(json.dumps(outs).encode())

    def is_in_place(self, name: str) -> bool:
        """Whether all outs that DVC recorded are there, as large as it says; their bytes are not read."""
        outs = (self.recorded(name) or {}).get("outs", ())
        return all(_size(self.root / out["path"]) == out["size"] for out in outs)

    def current_ingredients(self, name: str) -> dict[str, str]:
        """What the stage would run with now: md5 by code path, values by section of params.yaml, the command."""
        stage = self.stages[name]
        params = _load(self.root / "params.yaml")
        return {
            **{path: md5_of(self.root / path) for path in stage.code},
            **{f"params.yaml: {section}": _canonical(params.get(section)) for section in stage.params},
            "command": stage.command,
        }

    def recorded_ingredients(self, name: str) -> dict[str, str]:
        """What DVC recorded that the stage ran with; empty if it never ran."""
        entry, stage = self.recorded(name), self.stages[name]
        if entry is None:
            return {}
        params = entry.get("params", {}).get("params.yaml", {})
        return {
            **{dep["path"]: dep["md5"] for dep in entry.get("deps", ()) if dep["path"] in stage.code},
            **{f"params.yaml: {section}": _canonical(value) for section, value in params.items()},
            "command": entry["cmd"],
        }

    def _stage(self, name: str, entry: Mapping[str, Any]) -> Stage:
        variables = _load(self.root / "params.yaml")
        deps, outs = (_paths(entry.get(key, ()), variables) for key in ("deps", "outs"))
        metrics = _paths(entry.get("metrics", ()), variables)
        meta = entry.get("meta", {})
        # All other dependencies are data.
        is_code = [Path(dep).parts[0] in PACKAGES for dep in deps]
        return Stage(
            name=name,
            command=_fill(entry["cmd"], variables),
            description=entry.get("desc", ""),
            code=tuple(dep for dep, code in zip(deps, is_code, strict=True) if code),
            data=tuple(dep for dep, code in zip(deps, is_code, strict=True) if not code),
            params=tuple(entry.get("params", ())),
            outs=outs,
            metrics=metrics,
            group=meta.get("group", "pipeline"),
            kinds=tuple(meta.get("kinds", ())),
            owners=tuple(meta.get("owners", ())),
        )


# The one that this package belongs to.
PROJECT = Project(Path(__file__).parents[1])


def code_version(ingredients: Mapping[str, str]) -> str:
    """One short version of what a stage runs with."""
    return _md5(json.dumps(ingredients, sort_keys=True).encode())[:12]


def md5_of(path: Path) -> str:
    """The md5 that DVC gives a file, or a folder (`….dir`); `missing` if there is neither."""
    if path.is_file():
        return _md5(path.read_bytes())
    if not path.is_dir():
        return "missing"
    files = sorted((file.relative_to(path).as_posix(), file) for file in _sources(path))
    listing = [{"md5": _md5(file.read_bytes()), "relpath": relative} for relative, file in files]
    return _md5(json.dumps(listing, sort_keys=True).encode()) + ".dir"


def _size(path: Path) -> int | None:
    """In bytes, of a folder with all that is in it; None if there is neither file nor folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in _sources(path))
    return path.stat().st_size if path.is_file() else None


def _sources(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts and file.suffix not in _NO_SOURCE:
            yield file


def _parents(stage: Stage, stages: Any) -> set[str]:
    return {other.name for other in stages if set(stage.data) & {*other.outs, *other.metrics}}


def _paths(entries: Any, variables: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of `deps` or `outs`; an entry with options is a mapping with its path as the only key."""
    return tuple(_fill(next(iter(entry)) if isinstance(entry, dict) else entry, variables) for entry in entries)


def _fill(text: str, variables: Mapping[str, Any]) -> str:
    def value(match: re.Match[str]) -> str:
        found: Any = variables
        for key in match[1].strip().split("."):
            found = found[key]
        return str(found)

    return _VARIABLE.sub(value, text)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _LOADER) or {}
    return content


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
