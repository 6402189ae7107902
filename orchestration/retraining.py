"""A retraining: a challenger is trained on all that has landed, and takes the champion's place if the gate lets it.

Everything about one retraining lies in ``.s2gr/retraining/<id>`` (:mod:`orchestration.snapshot`). Begun again with the
same id, after a crash say, it goes on where it stopped: the snapshot stays, DVC skips finished stages, training resumes
from its checkpoint, and what is published already is not published twice. The champion serves on all the while.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_checks.drift import NEW_ITEMS
from orchestration.dvc_project import Project
from orchestration.snapshot import COMPLETE, snapshot
from s2gr.params import Params, load_params
from s2gr.publish.provenance import commit
from s2gr.publish.versions import current_bundle, current_version
from s2gr.workspace import Workspace, read_json

# Of an RQ-VAE, a warm start takes so much less training (docs/trials.md, churn): more only moves more items.
_WARM_EPOCHS = 10


@dataclass(frozen=True)
class Retraining:
    """One retraining of the project in ``root``."""

    root: Path
    id: str

    @property
    def folder(self) -> Path:
        return _folder(self.root) / self.id

    @property
    def project(self) -> Project:
        """The copy in which the challenger is made."""
        return Project(self.folder)

    @property
    def work(self) -> Workspace:
        return Workspace(self.folder)

    @property
    def params(self) -> Params:
        """What the challenger is made with."""
        return load_params([self.folder / "params.yaml"])

    @property
    def facts(self) -> dict[str, Any]:
        """What :meth:`begin` noted."""
        found: dict[str, Any] = read_json(self.folder / COMPLETE)
        return found

    def begin(self, signals: Sequence[str]) -> bool:
        """Take the snapshot; whether that is done for the first time.

        Old retrainings are removed before: those that fail come to no other end.

        Args:
            signals: the drift checks that asked for it; none if a person did.
        Raises: UserError: invalid parameters.
        """
        params = load_params([self.root / "params.yaml"])
        remove_old(self.root, params.retraining.keep, besides=self.id)
        published = Workspace(self.root).published
        champion = current_version(published)
        told, warm = "there is no champion to start from", False
        if champion:
            told = _reason_to_start_anew(params, Workspace(current_bundle(published)), signals)
            warm = not told
        overlay: dict[str, dict[str, Any]] = {}
        inputs: dict[str, Path] = {}
        if champion:
            # The version is part of the path, or DVC would take one champion's codebook for another's.
            place, bundle = f"champion/{champion}", current_bundle(published)
            inputs[f"{place}/sids.parquet"] = bundle / "data/sids.parquet"
            overlay["sids"] = {"previous": f"{place}/sids.parquet"}
            if warm:
                inputs[f"{place}/codebook"], inputs[f"{place}/content"] = (
                    bundle / "models/codebook",
                    bundle / "models/content",
                )
                overlay["codebook"] = {"warm_start": f"{place}/codebook"}
                if params.codebook.kind != "rqkmeans":
                    overlay["codebook"]["epochs"] = max(1, params.codebook.epochs // _WARM_EPOCHS)
                if params.content.kind == "tfidf":
                    overlay["content"] = {"frozen": f"{place}/content"}
        facts = {
            "id": self.id,
            "champion": champion,
            "signals": list(signals),
            "warm_start": "from the champion" if warm else f"none: {told}",
            "commit": commit(),
        }
        return snapshot(self.root, self.folder, overlay, inputs, facts)


def remove_old(root: Path, keep: int, besides: str = "") -> list[str]:
    """Remove all but the newest ``keep`` retrainings' folders, and that of ``besides``; returns their ids."""
    folders = [path for path in _folder(root).glob("*") if (path / COMPLETE).exists() and path.name != besides]
    folders.sort(key=lambda path: (path / COMPLETE).stat().st_mtime, reverse=True)
    for folder in folders[keep:]:
        shutil.rmtree(folder, ignore_errors=True)
    return [folder.name for folder in folders[keep:]]


def _folder(root: Path) -> Path:
    return root / ".s2gr/retraining"


def _reason_to_start_anew(params: Params, champion: Workspace, signals: Sequence[str]) -> str:
    """Why the champion's codebook and content model are no start; empty if they are."""
    if not params.retraining.warm_start:
        return "retraining.warm_start is off"
    if NEW_ITEMS.name in signals:
        return "new items fit the champion's codebook badly"
    before = load_params([champion.root / "params.yaml"])
    for section, free in (("content", {"frozen"}), ("codebook", {"warm_start", "epochs"})):
        then, now = (getattr(each, section).model_dump(exclude=free) for each in (before, params))
        changed = sorted(name for name in now if now[name] != then[name])
        if changed:
            return f"{section}.{changed[0]} is {now[changed[0]]!r} now, and was {then[changed[0]]!r}"
    return ""
