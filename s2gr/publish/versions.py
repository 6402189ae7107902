"""The versions below ``models/published``, and ``current``, the link to the one that is served.

A version is a folder that never changes once it is there, and the link is swapped in one call: whoever resolves it
reads one whole bundle, whatever is published meanwhile. One process at a time publishes, as long as its gate may take;
for the moment in which versions come, go or are switched it holds a second lock, the one that a rollback takes.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from s2gr.console import log
from s2gr.errors import UserError
from s2gr.manifest import Manifest, read_manifest, verified
from s2gr.workspace import hold, read_json, sweep, write_json

CURRENT = "current"
# Of what is not yet, or no more, a version.
STAGING, REMOVED = ".staging", ".removed"
_STAMP = "%Y%m%dT%H%M%SZ"
_WITHDRAWN = "withdrawn.json"
_NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


@dataclass(frozen=True)
class GoneBack:
    """What came of :func:`rollback`."""

    # What is served now, and what was before.
    version: str
    left: str


def version_names(published: Path) -> list[str]:
    """All versions, oldest first."""
    if not published.is_dir():
        return []
    return sorted(path.name for path in published.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())


def current_version(published: Path) -> str | None:
    """The version that is served, if one is published.

    Raises: UserError: what says so is no link, as after a copy that follows links.
    """
    try:
        return os.readlink(published / CURRENT)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        link, newest = published / CURRENT, next(reversed(version_names(published)), "VERSION")
        raise UserError(
            f"{link}: expected a link to a version, found something else (was it copied without links?); "
            f"remove it and run `ln -s {newest} {link}`"
        ) from error


def current_bundle(published: Path) -> Path:
    """The folder of the version that is served, by its own name: it stays what it is when another is published.

    Raises: UserError: nothing is published there.
    """
    version = current_version(published)
    if version is None:
        raise UserError(f"nothing is published in {published}: run `make pipeline`, or `s2gr publish` after the stages")
    if not (published / version).is_dir():
        raise UserError(f"{published / CURRENT} points to {version}, which is gone; serve another one: `s2gr rollback`")
    return published / version


def new_version(published: Path, content: str) -> str:
    """A name for ``content``: the time and its hash. Later than all others, even if the clock was set back."""
    now = datetime.now(UTC)
    names = version_names(published)
    if names:
        newest = datetime.strptime(names[-1].split("-")[0], _STAMP).replace(tzinfo=UTC)
        now = max(now, newest + timedelta(seconds=1))
    return f"{now:{_STAMP}}-{content[:8]}"


def withdrawn(published: Path) -> dict[str, str]:
    """What somebody has gone back from, and so does not come back by itself: hash of a model or content → version."""
    path = published / _WITHDRAWN
    try:
        return dict(read_json(path)) if path.exists() else {}
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}); delete it to forget which versions were withdrawn") from error


def switch(published: Path, version: str) -> None:
    """Serve ``version`` from now on."""
    link = published / f".{CURRENT}-{os.getpid()}"
    link.symlink_to(version)
    os.replace(link, published / CURRENT)
    sync(published)


def rollback(published: Path, version: str | None = None) -> GoneBack:
    """Serve ``version`` again; by default the newest whole one before the current, which counts as withdrawn then.

    A publication that is under way is not waited for: it is judged against what is served then.

    Raises: UserError: there is none such, it is damaged, or another one than when this was called is served by now.
    """
    meant = current_version(published)
    with locked(published):
        names, serving = version_names(published), current_version(published)
        if serving is None:
            raise UserError(f"nothing is published in {published}, so there is nothing to go back from")
        if serving != meant:
            # What is to be left may be the very version that would be served again.
            raise UserError(
                f"expected to go back from {meant or 'nothing'}, found that {serving} is served since a moment ago; "
                "nothing was changed, look at `s2gr versions` and go back again"
            )
        if version is not None:
            if version not in names:
                raise UserError(f"there is no version {version!r} in {published}; there are: {', '.join(names)}")
            found = verified(published / version)
        else:
            found = _whole_before(published, [name for name in names if name < serving], serving)
        gone_back_from = withdrawn(published)
        with suppress(UserError):
            # Damaged, it could not be published again anyway.
            left = read_manifest(published / serving)
            # The model, whatever its reports and parameters are next time; or what differs, if the model is the same.
            gone_back_from[left.content if left.model == found.model else left.model] = serving
        for known in (found.content, found.model):
            gone_back_from.pop(known, None)
        write_json(gone_back_from, published / _WITHDRAWN)
        switch(published, found.version)
        return GoneBack(found.version, serving)


def prune(published: Path, keep: int) -> list[str]:
    """Remove the oldest versions beyond ``keep``, never the current one; returns their names."""
    names, serving = version_names(published), current_version(published)
    surplus = [name for name in names[: max(0, len(names) - keep)] if name != serving]
    for name in surplus:
        # Renamed first: nobody shall find a version with files missing.
        gone = published / f"{REMOVED}-{os.getpid()}-{name}"
        os.rename(published / name, gone)
        shutil.rmtree(gone, ignore_errors=True)
    return surplus


@contextmanager
def publishing_alone(published: Path) -> Iterator[None]:
    """Wait until nobody else publishes; half-made versions of killed processes are removed then."""
    with _held(published, ".publishing", "publishes"):
        sweep(published, STAGING)
        yield


@contextmanager
def locked(published: Path) -> Iterator[None]:
    """Wait until nobody else switches or removes versions; what killed processes left of that is removed then."""
    with _held(published, ".lock", "switches versions"):
        sweep(published, REMOVED)
        for link in published.glob(f".{CURRENT}-*"):
            link.unlink()
        yield


@contextmanager
def _held(published: Path, name: str, doing: str) -> Iterator[None]:
    """Hold a lock, which the system releases however this process ends; say so if it has to be waited for."""
    try:
        published.mkdir(parents=True, exist_ok=True)
        lock = (published / name).open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{published}: can't be written ({error.strerror})") from error
    with lock:
        hold(lock, lambda process: log.warning("waiting for process %s, which %s in %s", process, doing, published))
        yield


def sync(folder: Path) -> None:
    """Let a folder's entries outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _whole_before(published: Path, names: list[str], serving: str) -> Manifest:
    refused = ""
    for name in reversed(names):
        try:
            return verified(published / name)
        except UserError as error:
            refused = f" ({error})"
    raise UserError(f"there is no whole version before {serving} in {published}{refused}; it goes on being served")
