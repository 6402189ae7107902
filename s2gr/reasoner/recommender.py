"""A trained reasoner, ready to rank the catalogue for any history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from s2gr.errors import UserError
from s2gr.params import Params, Reasoner
from s2gr.reasoner.decoding import Beam, Constraint, beam_searches
from s2gr.reasoner.fusion import Evidence, Fusion, as_distribution, beam_probabilities
from s2gr.reasoner.model import S2GR, Catalogue, Memory
from s2gr.reasoner.top import top_items
from s2gr.runtime import prepare_torch
from s2gr.sequences import Sequences, load_sequences
from s2gr.sids.new_sids import join_new_sids
from s2gr.sids.semantic_ids import SemanticIds, read_sids
from s2gr.sids.trie import build_trie
from s2gr.walk import GraphWalk
from s2gr.workspace import Workspace, read_json, write_json

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ranking:
    """The best items of each user, best first."""

    items: IntArray  # [B, k], −1 where fewer are left
    scores: npt.NDArray[np.float32]  # [B, k]


@dataclass(frozen=True)
class Walks:
    """The walks' scores of every item, float32 ``[B, items]`` each."""

    directed: npt.NDArray[np.float32]
    undirected: npt.NDArray[np.float32]


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
        self.constraint = Constraint.of(build_trie(sids.codes), device)
        self._vectors: Tensor | None = None

    @property
    def item_ids(self) -> list[str]:
        return self.sids.item_ids

    @torch.no_grad()
    def frozen(self) -> Recommender:
        """Itself; the model learns no more, so what hangs on its weights alone is computed once."""
        self.model.requires_grad_(False)
        self._vectors = self.model.item_vectors()
        return self

    def rankings(
        self, histories: IntArray, lengths: IntArray, k: int, beam: int, exclude: list[IntArray] | None = None
    ) -> dict[str, Ranking]:
        """The best ``k`` items for each history: by ``beam``, and by ``fused`` and ``interest`` if the model ranks so.

        Args:
            histories: int ``[B, H]``, oldest first, −1 behind the end; the last ``reasoner.history`` items are read.
            lengths: ``[B]``, at least 1 each.
            beam: width of the beam.
            exclude: for each user the items that are not to be found.
        """
        return self.rankings_under([exclude], histories, lengths, k, beam)[0]

    @torch.no_grad()
    def rankings_under(
        self,
        filters: Sequence[list[IntArray] | None],
        histories: IntArray,
        lengths: IntArray,
        k: int,
        beam: int,
        memory: Memory | None = None,
        walks: Walks | None = None,
    ) -> list[dict[str, Ranking]]:
        """:meth:`rankings` for each ``exclude`` of ``filters``, from one pass of the network.

        Args:
            memory, walks: :meth:`encode` and :meth:`walk_scores` of these histories, where they are at hand.
        """
        memory = memory or self.encode(histories, lengths)
        masks = [None if exclude is None else self.excluded(exclude) for exclude in filters]
        beams = beam_searches(self.model, memory, self.constraint, max(beam, k), masks)
        found = [{"beam": Ranking(best.items[:, :k].cpu().numpy(), best.scores[:, :k].cpu().numpy())} for best in beams]
        if self.model.params.ranking == "fused":
            # Only what the beam says depends on the filter.
            evidence = self.evidence(memory, beams[0], histories, lengths, walks)
            for rankings, best, excluded in zip(found, beams, masks, strict=True):
                evidence = replace(evidence, sid=beam_probabilities(best, len(self.item_ids)))
                scores = evidence.fused(self.fusion.everything if excluded is None else self.fusion.unseen)
                interest = evidence.interest
                if excluded is not None:
                    scores.masked_fill_(excluded, -torch.inf)
                    interest = interest.masked_fill(excluded, -torch.inf)
                elif self.fusion.repeats != 1:
                    scores.mul_(torch.where(self.met(histories, lengths), self.fusion.repeats, 1.0))
                for name, of_all in (("fused", scores), ("interest", interest)):
                    values, items = top_items(of_all, k)
                    rankings[name] = Ranking(items.cpu().numpy(), values.cpu().numpy())
        return found

    def rank(
        self, histories: IntArray, lengths: IntArray, k: int, beam: int, exclude: list[IntArray] | None = None
    ) -> Ranking:
        """The model's own one of :meth:`rankings`."""
        return self.rankings(histories, lengths, k, beam, exclude)[self.model.params.ranking]

    @torch.no_grad()
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

    def walk_scores(self, histories: IntArray, lengths: IntArray) -> Walks:
        """What the two walks say of every item."""
        return Walks(self.walk.scores(histories, lengths), self.walk_undirected.scores(histories, lengths))

    def evidence(
        self, memory: Memory, beam: Beam, histories: IntArray, lengths: IntArray, walks: Walks | None = None
    ) -> Evidence:
        """The distributions over the catalogue that are fused; ``walks`` as in :meth:`rankings_under`."""
        interest = self.model.interest_logits(self.model.interest(memory)[:, 0], self._vectors)
        walks = walks or self.walk_scores(histories, lengths)
        steps = (as_distribution(scores).to(self.device) for scores in (walks.directed, walks.undirected))
        return Evidence(beam_probabilities(beam, len(self.item_ids)), interest.float().softmax(-1), *steps)

    def met(self, histories: IntArray, lengths: IntArray) -> Tensor:
        """Bool ``[B, items]``: whether the item is in the history."""
        return self.excluded([history[:length] for history, length in zip(histories, lengths, strict=True)])

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
    def load(workspace: Workspace, params: Params, with_new: bool = False) -> Recommender:
        """Read the trained reasoner and what it ranks.

        Args:
            with_new: rank the items of `s2gr assign`, too, behind those of the catalogue. The stages don't: their
                results must not hang on a file that DVC does not know.

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
        known = (tensors["centres"], tensors["cluster"], tensors.get("content"))
        catalogue = Catalogue(tensors["codes"], config["codes_per_level"], *known)
        model = S2GR(Reasoner.model_validate(config["reasoner"]), catalogue)
        model.load_state_dict(tensors)
        training = sequences.training()
        if with_new:
            sids, new = join_new_sids(sids, workspace)
            if new is not None:
                model.add_items(torch.from_numpy(new.sids.codes), torch.from_numpy(new.content))
                # The walks give them nothing: nobody has met them.
                training = replace(training, item_ids=sids.item_ids)
        recommender = Recommender(model, sids, training, Fusion.of(config["fusion"]), prepare_torch(params.runtime))
        return recommender.frozen()
