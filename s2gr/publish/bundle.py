"""What a bundle holds: all that serving, explaining, assigning new items and watching drift need, and nothing else.

It is laid out as a work folder is, so that one loader reads both. DVC removes a stage's outputs before it runs, so
nothing is ever served from a work folder.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml
from safetensors.numpy import load_file

from s2gr.errors import UserError
from s2gr.evaluation.protocol import basis
from s2gr.manifest import LOCK
from s2gr.new_sids import new_sids_path, read_new_sids
from s2gr.params import Params
from s2gr.publish.names import Names, names_of
from s2gr.publish.reference import write_reference
from s2gr.sids.semantic_ids import read_sids
from s2gr.workspace import Workspace, read_json, read_table

# Of a work folder, as they lie there: folders as wholes.
COPIED = (
    "data/items.parquet",
    "data/sids.parquet",
    "models/reasoner",
    "models/codebook",
    "models/content",
    "reports/codes.csv",
    "reports/sids.json",
    "reports/codebook.json",
    "reports/reasoner.json",
    "reports/evaluation.json",
    "reports/metrics.json",
)
PARAMS = "params.yaml"
NAMES = "reports/names.json"


def assemble(workspace: Workspace, params: Params, folder: Path) -> list[str]:
    """Copy and make the files of a bundle in the empty ``folder``; returns their names.

    Raises: UserError: a stage has not run, or the evaluation is of other files than those that lie there.
    """
    for name in COPIED:
        _copy(workspace.root / name, folder / name)
    bundle = Workspace(folder)
    # The log is not copied as it is, but the manifest and the reference of drift tell of it.
    told, found = read_json(bundle.report("evaluation")).get("basis"), basis(workspace)
    if told != found:
        changed = next((name for name in found if (told or {}).get(name) != found[name]), "another set of files")
        raise UserError(
            f"{workspace.report('evaluation')} is not about what lies there: {changed} has changed since. Run the "
            "stages again (`dvc repro`, or `s2gr run`), then publish"
        )
    if (workspace.root / LOCK).exists():
        # With params.yaml, what DVC needs to bring the artefacts back from its cache or a remote.
        _copy(workspace.root / LOCK, folder / LOCK)
    (folder / PARAMS).write_text(yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    _names(bundle).write(folder / NAMES)
    _copy_new_items(workspace, bundle)
    write_reference(workspace, params, bundle)
    return files_of(folder)


def files_of(folder: Path) -> list[str]:
    """All files below ``folder``, as paths from there."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _copy(source: Path, target: Path) -> None:
    if not source.exists():
        raise UserError(f"{source} is missing: run the stages first (`dvc repro`, or `s2gr run`), then publish")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


def _names(bundle: Workspace) -> Names:
    table = read_table(bundle.items, ["item_id", "text"])
    codes = read_sids(bundle.sids, table["item_id"].to_pylist()).codes
    cluster = load_file(bundle.reasoner / "model.safetensors")["cluster"]
    return names_of(codes, cluster, table["text"].to_pylist())


def _copy_new_items(workspace: Workspace, bundle: Workspace) -> None:
    """What `s2gr assign` added in the work folder, unless it was beside other semantic IDs."""
    path = new_sids_path(workspace)
    if path.exists():
        read_new_sids(path, bundle.sids)
        shutil.copyfile(path, new_sids_path(bundle))
