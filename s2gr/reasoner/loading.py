"""A trained reasoner as files: ``model.safetensors``, ``walks.safetensors`` and ``config.json``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from s2gr.errors import UserError
from s2gr.manifest import verified
from s2gr.new_sids import join_new_sids
from s2gr.params import Reasoner
from s2gr.reasoner.fusion import Fusion
from s2gr.reasoner.model import S2GR, Catalogue
from s2gr.sids.semantic_ids import SemanticIds, read_sids
from s2gr.walk import WalkCounts
from s2gr.workspace import Workspace, read_json, read_table, write_json


@dataclass(frozen=True)
class Trained:
    """What a recommender is made of; items in the order of their rows."""

    model: S2GR
    sids: SemanticIds
    counts: WalkCounts
    fusion: Fusion
    titles: list[str]
    # Of the bundle, if it was published.
    version: str


def write_trained(model: S2GR, counts: WalkCounts, fusion: Fusion, folder: Path) -> None:
    """Write the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    counts.save(folder / "walks.safetensors")
    config = {
        "reasoner": model.params.model_dump(),
        "codes_per_level": model.code_table.shape[1],
        "fusion": fusion.as_dict(),
    }
    write_json(config, folder / "config.json")


def read_trained(source: Workspace | Path | str) -> Trained:
    """Read a published bundle with its new items, or a work folder without them; as ``Recommender.load`` says.

    Raises: UserError: it is missing or damaged, or was trained on other semantic IDs than those that lie there now.
    """
    published = not isinstance(source, Workspace)
    # What `current` points to may change while it is read.
    workspace = source if isinstance(source, Workspace) else Workspace(Path(source).resolve())
    version = verified(workspace.root).version if published else "unpublished"
    folder = workspace.reasoner
    if not (folder / "config.json").exists():
        raise UserError(f"{folder} holds no model: run `make pipeline`, `dvc repro` or `s2gr run` first")
    try:
        config, tensors = read_json(folder / "config.json"), load_file(folder / "model.safetensors")
        counts = WalkCounts.load(folder / "walks.safetensors")
        known = (tensors["centres"], tensors["cluster"], tensors.get("content"))
        catalogue = Catalogue(tensors["codes"], config["codes_per_level"], *known)
        model = S2GR(Reasoner.model_validate(config["reasoner"]), catalogue)
        model.load_state_dict(tensors)
        fusion = Fusion.of(config["fusion"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError) as error:
        raise UserError(
            f"{folder} is damaged or of another version ({' '.join(str(error).split())[:300]}); "
            "run the stage `reasoner` again"
        ) from error
    items = read_table(workspace.items, ["item_id", "title"])
    titles = items["title"].to_pylist()
    sids = read_sids(workspace.sids, items["item_id"].to_pylist())
    if not np.array_equal(sids.codes, tensors["codes"].numpy()):
        raise UserError(f"{folder} was trained on other semantic IDs than {workspace.sids}; run `dvc repro`")
    if published:
        sids, new = join_new_sids(sids, workspace)
        if new is not None:
            model.add_items(torch.from_numpy(new.sids.codes), torch.from_numpy(new.content))
            # The walks give them nothing: nobody has met them.
            counts, titles = counts.with_items(len(sids.item_ids)), titles + new.titles
    return Trained(model, sids, counts, fusion, titles, version)
