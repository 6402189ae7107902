"""A trained reasoner, ready to rank the catalogue for any history."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from s2gr.errors import UserError
from s2gr.params import Params, Reasoner
from s2gr.reasoner.decoding import Beam, Constraint, beam_search
from s2gr.reasoner.fusion import Evidence, Fusion, as_distribution, beam_probabilities
from s2gr.reasoner.model import S2GR, Catalogue, Memory
from s2gr.runtime import prepare_torch
from s2gr.sequences import Sequences, load_sequences
from s2gr.sids.trie import SemanticIds, build_trie, read_sids
from s2gr.walk import GraphWalk
from s2gr.workspace import Workspace, read_json, write_json

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """The best items of each user, best first."""

    items: IntArray  # [B, k], −1 where fewer are left
    scores: npt.NDArray[np.float32]  # [B, k]


class Recommender:
    """Ranks by the SID beam alone (``beam``), or by beam, interest vector and walks together (``fused``).

    Args:
        training: the training events, for the walks.
        fusion: the weights of the sources.
    """

    def __init__(
        self, model: S2GR, sids: SemanticIds, training: Sequences, fusion: Fusion, device: torch.device
    ) -> None:
        self.model = model.to(device).eval()
        self.sids, self.fusion, self.device = sids, fusion, device
        self.walk, self.walk_undirected = GraphWalk(training), GraphWalk(training, "undirected")
        self.constraint = Constraint.of(build_trie(sids.codes, model.code_table.shape[1]), device)

    @property
    def item_ids(self) -> list[str]:
        return self.sids.item_ids

    @torch.no_grad()
    def rankings(
        self, histories: IntArray, lengths: IntArray, k: int, beam: int, exclude: list[IntArray] | None = None
    ) -> dict[str, Ranking]:
        """The best ``k`` items for each history: by ``beam``, and by ``fused`` if the model ranks so.

        Args:
            histories: int ``[B, H]``, oldest first, −1 behind the end; the last ``reasoner.history`` items are read.
            lengths: ``[B]``, at least 1 each.
            beam: width of the beam.
            exclude: for each user the items that are not to be found.
        """
        excluded = self.excluded(exclude) if exclude is not None else None
        memory = self.encode(histories, lengths)
        found = beam_search(self.model, memory, self.constraint, max(beam, k), excluded)
        rankings = {"beam": Ranking(found.items[:, :k].cpu().numpy(), found.scores[:, :k].cpu().numpy())}
        if self.model.params.ranking == "fused":
            weights = self.fusion.everything if excluded is None else self.fusion.unseen
            scores = self.evidence(memory, found, histories, lengths).fused(weights)
            if excluded is not None:
                scores = scores.masked_fill(excluded, -torch.inf)
            top = scores.topk(min(k, scores.shape[1]), dim=1)
            items = top.indices.masked_fill(top.values == -torch.inf, -1)
            rankings["fused"] = Ranking(items.cpu().numpy(), top.values.cpu().numpy())
        return rankings

    def rank(
        self, histories: IntArray, lengths: IntArray, k: int, beam: int, exclude: list[IntArray] | None = None
    ) -> Ranking:
        """The model's own one of :meth:`rankings`."""
        return self.rankings(histories, lengths, k, beam, exclude)[self.model.params.ranking]

    def encode(self, histories: IntArray, lengths: IntArray) -> Memory:
        """Encode the most recent items of each history: one hypothesis per user."""
        width = min(self.model.params.history, int(lengths.max()))
        start = np.maximum(0, lengths - width)
        columns = start[:, None] + np.arange(width)
        kept = columns < lengths[:, None]
        recent = np.where(kept, np.take_along_axis(histories, np.minimum(columns, histories.shape[1] - 1), 1), -1)
        items = torch.from_numpy(recent.astype(np.int64)).to(self.device)
        position = torch.from_numpy((np.minimum(lengths, width) - 1).astype(np.int64)[:, None]).to(self.device)
        return self.model.encode(items, position)

    def evidence(self, memory: Memory, beam: Beam, histories: IntArray, lengths: IntArray) -> Evidence:
        """The distributions over the catalogue that are fused."""
        interest = self.model.interest_logits(self.model.interest(memory)[:, 0])
        walks = (as_distribution(walk.scores(histories, lengths)) for walk in (self.walk, self.walk_undirected))
        sid = beam_probabilities(beam, len(self.item_ids))
        return Evidence(sid, interest.float().softmax(-1), *(walk.to(self.device) for walk in walks))

    def excluded(self, exclude: list[IntArray]) -> Tensor:
        """Bool ``[B, items]`` of each user's excluded items."""
        mask = torch.zeros(len(exclude), len(self.item_ids), dtype=torch.bool)
        rows = np.repeat(np.arange(len(exclude)), [len(items) for items in exclude])
        mask[torch.from_numpy(rows), torch.from_numpy(np.concatenate(exclude).astype(np.int64))] = True
        return mask.to(self.device)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``config.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.contiguous().cpu() for name, value in self.model.state_dict().items()}
        save_file(tensors, folder / "model.safetensors")
        config = {
            "reasoner": self.model.params.model_dump(),
            "codes_per_level": self.model.code_table.shape[1],
            "fusion": self.fusion.as_dict(),
        }
        write_json(config, folder / "config.json")

    @staticmethod
    def load(workspace: Workspace, params: Params) -> Recommender:
        """Read the trained reasoner and what it ranks.

        Raises: UserError: if it is missing, or was trained on other semantic IDs than those that lie there now.
        """
        folder = workspace.reasoner
        if not (folder / "config.json").exists():
            raise UserError(f"{folder} holds no model: run `make pipeline`, `dvc repro` or `s2gr run` first")
        config, tensors = read_json(folder / "config.json"), load_file(folder / "model.safetensors")
        sequences = load_sequences(workspace.events, workspace.items)
        sids = read_sids(workspace.sids, sequences.item_ids)
        if not np.array_equal(sids.codes, tensors["codes"].numpy()):
            raise UserError(f"{folder} was trained on other semantic IDs than {workspace.sids}; run `dvc repro`")
        catalogue = Catalogue(tensors["codes"], config["codes_per_level"], tensors["centres"], tensors["cluster"])
        model = S2GR(Reasoner.model_validate(config["reasoner"]), catalogue)
        model.load_state_dict(tensors)
        return Recommender(
            model, sids, sequences.training(), Fusion.of(config["fusion"]), prepare_torch(params.runtime)
        )
