"""The manifest of a published bundle: what lies in it, where it came from, and whether it is whole.

A bundle is a folder laid out as a work folder is (``workspace.py``), so that what reads one reads the other.
``manifest.json`` is written last, with the SHA-256 of every other file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2gr.errors import UserError
from s2gr.files import file_hash
from s2gr.workspace import read_json, write_json

MANIFEST = "manifest.json"
# How the artefacts were made, where DVC made them: no part of what they are.
LOCK = "dvc.lock"
# Of the layout below; a reader refuses what it does not know.
FORMAT = 1
_MODEL = ("models/reasoner/", "data/sids.parquet")


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says."""

    version: str
    # Path below the bundle → SHA-256.
    files: Mapping[str, str]
    # Where it came from: commit, data, training window, metrics (s2gr/publish/provenance.py).
    facts: Mapping[str, Any]

    @property
    def content(self) -> str:
        """A digest of all files but dvc.lock: bundles that recommend alike have equal ones."""
        return content_hash(self.files)

    @property
    def model(self) -> str:
        """A digest of network and semantic IDs: equal where only reports, parameters or new items differ."""
        return model_hash(self.files)

    def write(self, folder: Path) -> None:
        """Write it: from now on the bundle counts as whole."""
        told = {"format": FORMAT, "version": self.version, "content": self.content, **self.facts}
        write_json({**told, "files": dict(self.files)}, folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """Raises: UserError: there is none, or it is damaged or of a newer version of this project."""
    path = folder / MANIFEST
    try:
        told = read_json(path)
        version, content, files = str(told.pop("version")), told.pop("content"), dict(told.pop("files"))
        known = told.pop("format") == FORMAT
    except FileNotFoundError:
        raise UserError(f"{folder} is no published bundle, or a half-written one: it has no {MANIFEST}") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({' '.join(str(error).split())}); {_REMEDY}") from error
    if not known:
        raise UserError(f"{path} has another format than {FORMAT}: it was published by another version of s2gr")
    manifest = Manifest(version, files, told)
    if manifest.content != content:
        raise UserError(f"{path} is damaged: its list of files is not what was written; {_REMEDY}")
    return manifest


def verified(folder: Path) -> Manifest:
    """The manifest of a bundle, once every file was seen to be what was published.

    Raises: UserError: as :func:`read_manifest`, or a file is missing or another one than was published.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path} is missing, so the bundle is not whole; {_REMEDY}")
        if file_hash(path) != expected:
            raise UserError(f"{path} is damaged: its SHA-256 is not the published one; {_REMEDY}")
    return manifest


def hash_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of each file below ``folder``, by name."""
    return {name: file_hash(folder / name) for name in sorted(names)}


def content_hash(files: Mapping[str, str]) -> str:
    """One SHA-256 of many, that of dvc.lock left out."""
    return hashlib.sha256(
        "".join(f"{name} {files[name]}\n" for name in sorted(files) if name != LOCK).encode()
    ).hexdigest()


def model_hash(files: Mapping[str, str]) -> str:
    """One SHA-256 of a bundle's network and semantic IDs."""
    return content_hash({name: files[name] for name in files if name.startswith(_MODEL)})


_REMEDY = "go back with `s2gr rollback`, or publish again with `s2gr publish`"
