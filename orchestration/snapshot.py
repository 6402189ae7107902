"""The project as it is now, in a folder of its own, for a retraining.

A challenger is made by the same dvc.yaml as everything else, but not where people work: DVC removes a stage's outputs
before it runs, and whoever edits code or parameters must not change what is being trained. The copy has its own
params.yaml, the project's with an overlay, and shares the project's DVC cache and remotes; so what has been computed
already is not computed again, and what comes out can be pushed, pulled and checked out like any other.
"""

from __future__ import annotations

import configparser
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from s2gr.params import Params, load_params
from s2gr.sources.folder import walk
from s2gr.workspace import sweep, write_json

# What the stages run with, and what DVC needs to run them.
STAGES_RUN_WITH = ("s2gr", "data_checks", "dvc.yaml", "dvc.lock", ".dvcignore")
# Parameters that name a file or folder of the project.
_PLACES = (("codebook", "warm_start"), ("content", "frozen"), ("content", "model"), ("sids", "previous"))
# Of a remote, what may be a path from where the configuration lies (dvc/config.py).
_PATHS = {
    "url",
    "gdrive_user_credentials_file",
    "gdrive_service_account_json_file_path",
    "credentialpath",
    "configpath",
    "keyfile",
    "cert_path",
    "key_path",
}
# Written last.
COMPLETE = ".s2gr/snapshot.json"


def snapshot(
    project: Path, folder: Path, overlay: Mapping[str, Any], inputs: Mapping[str, Path], facts: Mapping[str, Any]
) -> bool:
    """Make ``folder`` a copy of ``project``, unless it is one already; whether it was made now.

    Args:
        overlay: sections of the parameters, to lay over those of the project.
        inputs: files and folders to copy, by where they go below ``folder``.
        facts: what is noted about the copy.
    Raises: UserError: the parameters that come of it are not valid.
    """
    if (folder / COMPLETE).exists():
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent, ".copy")
    shutil.rmtree(folder, ignore_errors=True)
    copy = folder.parent / f".copy-{os.getpid()}-{folder.name}"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    params = load_params([project / "params.yaml"])
    copy_parts(project, copy, STAGES_RUN_WITH)
    source = project / params.source.path
    if source.is_dir():
        _link(source, copy / "data/landing")
    downloads = project / ".s2gr/downloads"
    if downloads.is_dir():
        _link(downloads, copy / ".s2gr/downloads")
    for target, origin in inputs.items():
        _copy(origin, copy / target)
    _write_params(project, params, overlay, copy / "params.yaml")
    _write_dvc_config(project, copy)
    write_json(facts, copy / COMPLETE)
    os.rename(copy, folder)
    return True


def copy_parts(project: Path, folder: Path, names: Sequence[str]) -> None:
    """Copy those of the files and folders that there are; without what Python compiled."""
    for name in names:
        if (project / name).exists():
            _copy(project / name, folder / name)


def _write_params(project: Path, params: Params, overlay: Mapping[str, Any], target: Path) -> None:
    told: dict[str, Any] = params.model_dump(mode="json")
    told["source"]["path"] = "data/landing"
    # Relative to the project, where the copy has none of it. A model's name may be one that is no path.
    for section, name in _PLACES:
        place = told[section][name]
        if place and (name != "model" or (project / place).exists()):
            told[section][name] = str((project / place).absolute())
    for section, values in overlay.items():
        told[section] |= values
    target.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
    load_params([target])


def _write_dvc_config(project: Path, copy: Path) -> None:
    """The project's configuration, its own ``config.local`` included, with every path made absolute."""
    config = configparser.ConfigParser(interpolation=None)
    config.read([project / ".dvc/config", project / ".dvc/config.local"], encoding="utf-8")
    for section in config.sections():
        for name in _PATHS & set(config[section]):
            told = config[section][name]
            if "://" not in told:
                config[section][name] = str((project / ".dvc" / Path(told).expanduser()).resolve())
    for section, values in {"core": {"no_scm": "true"}, "cache": {"dir": str(_cache(project, config))}}.items():
        if not config.has_section(section):
            config.add_section(section)
        config[section].update(values)
    (copy / ".dvc").mkdir()
    # For its owner alone, as config.local is: remotes may have their credentials there.
    (copy / ".dvc/config").touch(mode=0o600)
    with (copy / ".dvc/config").open("w", encoding="utf-8") as file:
        config.write(file)


def _cache(project: Path, config: configparser.ConfigParser) -> Path:
    told = config.get("cache", "dir", fallback="cache")
    return (project / ".dvc" / told).resolve()


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def _link(source: Path, target: Path) -> None:
    """The same files under other names: what has landed is never written to again (docs/operations.md).

    Files may land meanwhile. If one has gone since it was listed, renamed say, the folder is listed anew.
    """
    moved = True

    def unlisted(error: OSError) -> None:
        nonlocal moved
        if not isinstance(error, FileNotFoundError):
            raise error
        moved = True

    while moved and source.is_dir():
        moved = False
        for folder, names in walk(source, unlisted):
            below = target / folder.relative_to(source)
            below.mkdir(parents=True, exist_ok=True)
            for name in names:
                if not (below / name).exists():
                    moved |= not _linked(folder / name, below / name)


def _linked(file: Path, name: Path) -> bool:
    """Whether the file is still there; a symbolic link to nothing is passed over."""
    if file.is_symlink() and not file.exists():
        return True
    try:
        # A symbolic link would lead elsewhere from another folder.
        origin = file.resolve()
        try:
            os.link(origin, name)
        except FileNotFoundError:
            raise
        except OSError:
            # Another file system.
            shutil.copyfile(origin, name)
    except FileNotFoundError:
        return False
    return True
