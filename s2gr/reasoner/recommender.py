"""A trained reasoner, ready to rank the catalogue for any history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from s2gr.errors import UserError
from s2gr.params import Params, Runtime
from s2gr.reasoner.decoding import Beam, Constraint, beam_searches, no_beam
from s2gr.reasoner.fusion import Evidence, Fusion, as_distribution, beam_probabilities
from s2gr.reasoner.loading import read_trained, write_trained
from s2gr.reasoner.model import S2GR, Memory
from s2gr.reasoner.top import item_mask, top_items
from s2gr.reasoner.trie import build_trie
from s2gr.runtime import prepare_torch
from s2gr.sids.semantic_ids import SemanticIds
from s2gr.walk import GraphWalk, WalkCounts
from s2gr.workspace import Workspace

IntArray = npt.NDArray[np.int64]

# Width of the beam, unless another is asked for.
BEAM = 20
# Float32 arrays [B, items] at a time: a ranking takes 7.5, with the evaluation's baselines beside it 9.9 (measured with
# 60,000 items).
_DENSE = 10


@dataclass(frozen=True)
class Item:
    item_id: str
    title: str
    sid: tuple[int, ...]


@dataclass(frozen=True)
class Recommended(Item):
    """An item that is recommended."""

    # By the model's own ranking (`reasoner.ranking`): a share of one if `fused`, a log-probability if `beam`.
    score: float


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


def with_fresh(best: list[Recommended], among: list[Recommended], k: int, fresh: int) -> list[Recommended]:
    """The ``k`` best, the last ``fresh`` places for the first of ``among`` that are not there yet."""
    kept = best[: max(k - fresh, 0)]
    there = {item.item_id for item in kept}
    added = [item for item in among if item.item_id not in there][: min(fresh, k)]
    there |= {item.item_id for item in added}
    kept += [item for item in best[len(kept) :] if item.item_id not in there][: k - len(kept) - len(added)]
    return kept + added


class Recommender:
    """Ranks by the SID beam alone (``beam``), or by beam, interest vector and walks together (``fused``).

    Args:
        counts: of the training events, for the walks.
        fusion: the weights of the sources.
        titles: of the items; their ids stand in where there are none.
        version: of the bundle, if it was published.
    """

    def __init__(
        self,
        model: S2GR,
        sids: SemanticIds,
        counts: WalkCounts,
        fusion: Fusion,
        device: torch.device,
        titles: Sequence[str] | None = None,
        version: str = "unpublished",
    ) -> None:
        self.model = model.to(device).eval()
        self.sids, self.counts, self.device = sids, counts, device
        self.titles, self.version = list(titles or sids.item_ids), version
        self.fusion = fusion
        self.constraint = Constraint.of(build_trie(sids.codes), device)
        self._vectors: Tensor | None = None

    @property
    def item_ids(self) -> list[str]:
        return self.sids.item_ids

    @property
    def fusion(self) -> Fusion:
        """The weights of the sources; the walks go as they say."""
        return self._fusion

    @fusion.setter
    def fusion(self, fusion: Fusion) -> None:
        self._fusion = fusion
        self.walk = GraphWalk(self.counts.directed, self.counts.popularity, fusion.walk)
        self.walk_undirected = GraphWalk(self.counts.undirected, self.counts.popularity, fusion.walk_undirected)

    @torch.no_grad()
    def frozen(self) -> Recommender:
        """Itself; the model learns no more, so what hangs on its weights alone is computed once."""
        self.model.requires_grad_(False)
        self._vectors = self.model.item_vectors()
        return self

    def bytes_for(self, users: int) -> int:
        """Memory that ranking so many at a time takes, baselines beside it included."""
        return _DENSE * users * len(self.item_ids) * 4

    def rankings(
        self, histories: IntArray, lengths: IntArray, k: int, beam: int, exclude: list[IntArray] | None = None
    ) -> dict[str, Ranking]:
        """The best ``k`` items for each history: by ``beam``, and by ``fused`` and ``interest`` if the model ranks so.

        Args:
            histories: int ``[B, H]``, oldest first, −1 behind the end; the last ``reasoner.history`` items are read.
            lengths: ``[B]``, at least 1 each.
            beam: width of the beam.
            exclude: for each user the items that are not to be found, which may be none.
        """
        return self.rankings_under([self._mask(exclude)], histories, lengths, k, beam)[0]

    @torch.no_grad()
    def rankings_under(
        self,
        filters: Sequence[Tensor | None],
        histories: IntArray,
        lengths: IntArray,
        k: int,
        beam: int,
        memory: Memory | None = None,
        walks: Walks | None = None,
        only: str | None = None,
    ) -> list[dict[str, Ranking]]:
        """:meth:`rankings` under each of ``filters``, from one pass of the network.

        Args:
            filters: :meth:`excluded` of each filter, None where nothing is left out.
            memory, walks: :meth:`encode` and :meth:`walk_scores` of these histories, where they are at hand.
            only: the one ranking that is wanted: what it does not need is left out.
        """
        memory = memory or self.encode(histories, lengths)
        if only == "fused" and not self.fusion.reads_beam:
            beams = [no_beam(len(lengths), self.device)] * len(filters)
        else:
            beams = beam_searches(self.model, memory, self.constraint, max(beam, k), filters)
        found: list[dict[str, Ranking]] = [{} for _ in filters]
        if only != "fused":
            for rankings, best in zip(found, beams, strict=True):
                rankings["beam"] = Ranking(best.items[:, :k].cpu().numpy(), best.scores[:, :k].cpu().numpy())
        if self.model.params.ranking == "fused":
            # Only what the beam says depends on the filter.
            evidence = self.evidence(memory, beams[0], histories, lengths, walks)
            for rankings, best, excluded in zip(found, beams, filters, strict=True):
                evidence = replace(evidence, sid=beam_probabilities(best, len(self.item_ids)))
                scores = {"fused": self._fused(evidence, histories, lengths, excluded)}
                if only != "fused":
                    interest = evidence.interest
                    scores["interest"] = interest if excluded is None else interest.masked_fill(excluded, -torch.inf)
                for name, of_all in scores.items():
                    values, items = top_items(of_all, k)
                    rankings[name] = Ranking(items.cpu().numpy(), values.cpu().numpy())
        return found

    def rank(
        self, histories: IntArray, lengths: IntArray, k: int, beam: int, exclude: list[IntArray] | None = None
    ) -> Ranking:
        """The model's own one of :meth:`rankings`."""
        own = self.model.params.ranking
        return self.rankings_under([self._mask(exclude)], histories, lengths, k, beam, only=own)[0][own]

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

    def _fused(self, evidence: Evidence, histories: IntArray, lengths: IntArray, excluded: Tensor | None) -> Tensor:
        """Scores ``[B, items]``: with the weights for unseen items where nothing of the history may come up."""
        met = self.met(histories, lengths)
        if excluded is None:
            return self._with_repeats(evidence, met)
        anew = self.anew(met, excluded)
        if anew.all():
            scores = evidence.fused(self.fusion.unseen)
        elif not anew.any():
            scores = self._with_repeats(evidence, met)
        else:
            unseen = evidence.fused(self.fusion.unseen)
            scores = torch.where(anew[:, None], unseen, self._with_repeats(evidence, met))
        return scores.masked_fill_(excluded, -torch.inf)

    @staticmethod
    def anew(met: Tensor, excluded: Tensor) -> Tensor:
        """Bool ``[B]``: whether nothing of the history may come up; both ``[B, items]``."""
        return ~(met & ~excluded).any(1)

    def _with_repeats(self, evidence: Evidence, met: Tensor) -> Tensor:
        scores = evidence.fused(self.fusion.everything)
        return scores if self.fusion.repeats == 1 else scores.mul_(torch.where(met, self.fusion.repeats, 1.0))

    def met(self, histories: IntArray, lengths: IntArray) -> Tensor:
        """Bool ``[B, items]``: whether the item is in the history that is read, its last ``reasoner.history`` items."""
        read = self.model.params.history
        return self.excluded([h[max(0, length - read) : length] for h, length in zip(histories, lengths, strict=True)])

    def excluded(self, exclude: list[IntArray]) -> Tensor:
        """Bool ``[B, items]`` of each user's excluded items."""
        return item_mask(exclude, len(self.item_ids)).to(self.device)

    def _mask(self, exclude: list[IntArray] | None) -> Tensor | None:
        return None if exclude is None else self.excluded(exclude)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Where an item lies in the catalogue."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    def recommend(
        self,
        history: Sequence[str],
        k: int = 10,
        exclude_seen: bool = True,
        allow: Iterable[str] | None = None,
        deny: Iterable[str] = (),
        beam: int = BEAM,
        fresh: int = 0,
    ) -> list[Recommended]:
        """What comes next after a history.

        Args:
            history: item ids, oldest first.
            k: how many items; fewer are found only where there are no more.
            exclude_seen: leave out the items of the history.
            allow: nothing but these items, if it is given.
            deny: none of these items.
            beam: width of the beam, at least ``k``.
            fresh: the last places, so many, are for items that nobody has met in training, which hardly come up by
                themselves: the best of those (`s2gr assign`), as far as there are any.

        Raises: UserError: the history is empty, or holds an item that is not in the catalogue.
        """
        unknown = [item_id for item_id in history if item_id not in self.row_of]
        if unknown or not history:
            found = f"{unknown[0]!r}, which is not in the catalogue" if unknown else "no item"
            raise UserError(f"history: expected ids of items that the model knows, found {found}")
        rows = np.array([[self.row_of[item_id] for item_id in history]])
        exclude = self.hidden(allow, [*deny, *(history if exclude_seen else ())])
        lengths = np.array([rows.size])
        best = self.described(self.rank(rows, lengths, k, beam, [exclude]))[0]
        if not fresh:
            return best
        among = self.described(self.rank(rows, lengths, k, beam, [self.all_but_unmet(exclude)]))[0]
        return with_fresh(best, among, k, fresh)

    def all_but_unmet(self, exclude: IntArray) -> IntArray:
        """What to exclude so that of the others those are ranked that nobody has met in training."""
        return np.union1d(exclude, np.flatnonzero(self.counts.popularity))

    def hidden(self, allow: Iterable[str] | None, deny: Iterable[str]) -> IntArray:
        """The rows of the items that are not to come up; ids that nothing has are passed over."""
        rows = self.rows(deny)
        if allow is None:
            return rows
        closed = np.ones(len(self.item_ids), dtype=bool)
        closed[self.rows(allow)] = False
        closed[rows] = True
        return np.flatnonzero(closed)

    def rows(self, item_ids: Iterable[str]) -> IntArray:
        """Of those ids that are in the catalogue."""
        found = [row for item_id in item_ids if (row := self.row_of.get(item_id)) is not None]
        return np.unique(np.array(found, dtype=np.int64))

    def item(self, row: int) -> Item:
        """What lies at ``row`` of the catalogue."""
        return Item(self.item_ids[row], self.titles[row], tuple(self.sids.codes[row].tolist()))

    def described(self, ranking: Ranking) -> list[list[Recommended]]:
        """The items of each user, best first."""
        return [
            [
                Recommended(**vars(self.item(row)), score=score)
                for row, score in zip(items, scores, strict=True)
                if row >= 0
            ]
            for items, scores in zip(ranking.items.tolist(), ranking.scores.tolist(), strict=True)
        ]

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors``, ``walks.safetensors`` and ``config.json``."""
        write_trained(self.model, self.counts, self.fusion, folder)

    @staticmethod
    def load(source: Workspace | Path | str, params: Params | None = None) -> Recommender:
        """Read a trained reasoner and what it ranks.

        This sets up torch for the whole process: its threads, and deterministic algorithms only, so that an operation
        that has none raises an error from then on; ``torch.set_deterministic_debug_mode("default")`` takes that back.

        Args:
            source: the path of a published bundle, such as ``models/published/current``: its files are checked against
                their hashes, and its new items (`s2gr assign`) are ranked, too, in rows behind those of the catalogue.
                Or a work folder, whose new items are not: its stages must not hang on a file that DVC does not know.
            params: for device and threads.

        Raises: UserError: it is missing or damaged, or was trained on other semantic IDs than those that lie there now.
        """
        trained = read_trained(source)
        device = prepare_torch(params.runtime if params else Runtime())
        return Recommender(**vars(trained), device=device).frozen()
