"""From a work folder's artefacts to the version that is served: assembled aside, tried, and then switched to."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from s2gr.console import log
from s2gr.errors import UserError
from s2gr.manifest import Manifest, content_hash, hash_files, model_hash, verified
from s2gr.params import Params
from s2gr.publish.bundle import assemble
from s2gr.publish.provenance import provenance
from s2gr.publish.versions import (
    STAGING,
    current_version,
    locked,
    new_version,
    prune,
    publishing_alone,
    switch,
    sync,
    withdrawn,
)
from s2gr.reasoner.recommender import Recommender
from s2gr.workspace import Workspace


@dataclass(frozen=True)
class Verdict:
    """What a gate says of a challenger."""

    passed: bool
    # One line: why.
    told: str
    figures: Mapping[str, Any] = field(default_factory=dict)


# Judges the challenger beside the champion, both laid out as a work folder is. The champion is a whole bundle; None,
# where none is served.
Gate = Callable[[Workspace, Workspace | None], Verdict]


@dataclass(frozen=True)
class Outcome:
    """What came of :func:`publish`.

    ``unchanged``: the current version holds the same already. ``withdrawn``: somebody has gone back from a version with
    the same content, or the same model. ``older``: what is served came from a retraining, on a log that ends later.
    ``rejected``: by the gate.
    """

    kind: Literal["published", "unchanged", "withdrawn", "older", "rejected"]
    # What is served now; empty if nothing is.
    current: str
    verdict: Verdict | None = None
    removed: tuple[str, ...] = ()


def publish(
    workspace: Workspace,
    params: Params,
    gate: Gate | None = None,
    force: bool = False,
    into: Workspace | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Outcome:
    """Publish the evaluated artefacts of ``workspace`` in ``models/published`` there, and serve them.

    A process that is killed leaves the old version or the new one being served, never anything between. Meanwhile
    people may go back to an earlier version: the artefacts are judged again then, against what is served now.

    Args:
        params: what the artefacts were made with.
        gate: has the last word, if there is one.
        force: publish what somebody has gone back from, and what is older than a retrained model that is served, too.
        into: the work folder in which they are published, if it is another one.
        facts: more for the manifest.

    Raises: UserError: a stage has not run, or the artefacts don't fit one another.
    """
    published = (into or workspace).published
    with publishing_alone(published), _staging(published) as folder:
        names = assemble(workspace, params, folder)
        told = {**provenance(workspace, params), **(facts or {})}
        while True:
            outcome = _admit(published, folder, names, told, params.publish.keep, gate, force)
            if outcome:
                return outcome
            log.warning("what is served has changed meanwhile: judging again, against what is served now")


def _admit(
    published: Path,
    folder: Path,
    names: list[str],
    facts: Mapping[str, Any],
    keep: int,
    gate: Gate | None,
    force: bool,
) -> Outcome | None:
    """Make the staged ``folder`` the current version, unless it is that already or is refused.

    Returns: None: somebody has gone back to another version meanwhile, so that nothing of this holds.
    """
    before = _decided(published)
    champion = _champion(published)
    files = hash_files(folder, names)
    content = content_hash(files)
    if champion and champion.content == content:
        return Outcome("unchanged", champion.version)
    # Also where nothing whole is served.
    if {content, model_hash(files)} & withdrawn(published).keys() and not force:
        return Outcome("withdrawn", current_version(published) or "")
    if champion and not gate and not force and _is_older(facts, champion.facts):
        return Outcome("older", champion.version)
    verdict = None
    if gate:
        verdict = gate(Workspace(folder), Workspace(published / champion.version) if champion else None)
        if not verdict.passed:
            return Outcome("rejected", before[0] or "", verdict) if _decided(published) == before else None
    version = new_version(published, content)
    more = {"previous": champion.version if champion else None, "gate": asdict(verdict) if verdict else None}
    Manifest(version, files, {**facts, **more}).write(folder)
    # What can't be loaded, or can't recommend, is not served.
    recommender = Recommender.load(folder)
    recommender.recommend(recommender.item_ids[:1], k=1)
    for path in (folder, *folder.rglob("*")):
        sync(path)
    with locked(published):
        if _decided(published) != before:
            return None
        os.rename(folder, published / version)
        switch(published, version)
        return Outcome("published", version, verdict, tuple(prune(published, keep)))


def _decided(published: Path) -> tuple[str | None, Mapping[str, str]]:
    """What people change by going back: the version that is served, and those that are withdrawn."""
    return current_version(published), withdrawn(published)


def _is_older(facts: Mapping[str, Any], champion: Mapping[str, Any]) -> bool:
    """Whether a retraining has made the champion from a log that goes on where this one ends."""
    ours, theirs = (datetime.fromisoformat(told["log"]["last"]) for told in (facts, champion))
    return "retraining" in champion and ours < theirs


def _champion(published: Path) -> Manifest | None:
    """Of the version that is served, if it is whole."""
    version = current_version(published)
    try:
        return verified(published / version) if version else None
    except UserError as error:
        log.warning("the version that is served is no champion: %s", error)
        return None


@contextmanager
def _staging(published: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"{STAGING}-{os.getpid()}-", dir=published))
    # Readable by all who may read the artefacts: mkdtemp makes it for its owner alone.
    folder.chmod(0o777 & ~_umask())
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
