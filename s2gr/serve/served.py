"""What the service serves: one whole bundle and the lists of allowed items, taken over while it runs.

A snapshot (:class:`Served`) never changes. The shelf looks where the pointer ``models/published/current`` and the lists
are, reads what is new beside what is served, and swaps in one assignment: a request keeps the snapshot that it began
with, so that every answer is from one bundle.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from s2gr.console import log
from s2gr.errors import UserError
from s2gr.manifest import read_manifest
from s2gr.params import Params
from s2gr.publish.versions import current_bundle, current_version
from s2gr.reasoner.recommender import IntArray, Recommender
from s2gr.reasoner.top import top_items
from s2gr.serve.explained import Explainer
from s2gr.serve.item_lists import read_item_list

# Of a list's file: what changes when it is written. None: there is no list.
_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True)
class Served:
    """A bundle in memory, and what may not be recommended from it."""

    # Where it was read from.
    folder: Path
    recommender: Recommender
    explainer: Explainer
    # Of the bundle's manifest: when it was made, from what, and its figures.
    facts: Mapping[str, Any]
    # Rows that the service's own lists take out.
    hidden: IntArray

    @property
    def version(self) -> str:
        return self.recommender.version

    @cached_property
    def directions(self) -> Tensor:
        """Of the vectors that stand for the items in the interest vector's eyes: ``[items, dim]``, unit rows."""
        return functional.normalize(self.recommender.model.item_vectors().detach(), dim=1)


@dataclass(frozen=True)
class Lists:
    """Files of item ids that the service goes by, one a line."""

    allow: Path | None = None
    deny: Path | None = None

    def stamps(self) -> tuple[_Stamp, _Stamp]:
        return _stamp(self.allow), _stamp(self.deny)

    def hidden(self, recommender: Recommender) -> IntArray:
        """The rows that they take out. Raises: UserError: one can't be read, or nothing would be left."""
        allow = read_item_list(self.allow) if self.allow else None
        hidden = recommender.hidden(allow, read_item_list(self.deny) if self.deny else [])
        if len(hidden) == len(recommender.item_ids):
            lists = " and ".join(str(path) for path in (self.allow, self.deny) if path)
            raise UserError(f"{lists}: nothing of the published model would be left to recommend")
        return hidden


class Shelf:
    """Holds what is served now.

    Args:
        published: the folder of the versions.
        params: for device and threads.

    Raises: UserError: nothing is published, it is damaged, or a list can't be read.
    """

    def __init__(self, published: Path, params: Params, lists: Lists) -> None:
        self._published, self.params, self._lists = published, params, lists
        self._version, self._stamps = current_version(published), lists.stamps()
        self.current = self._read()

    def refresh(self) -> bool:
        """Take over what has changed, the lists or else the version; whether anything has.

        Raises: UserError: what is new can't be served; what was served still is, and the next call tries again.
        """
        # The lists first: an item is to be taken out though what was published is damaged.
        stamps, broken = self._lists.stamps(), None
        if stamps != self._stamps:
            try:
                hidden = self._lists.hidden(self.current.recommender)
            except UserError as error:
                # They may be meant for a version that is new, too.
                broken = error
            else:
                self.current, self._stamps = replace(self.current, hidden=hidden), stamps
                log.info("took over new lists: %d items are taken out", len(hidden))
                return True
        version = current_version(self._published)
        if version != self._version:
            self.current = self._read()
            self._version, self._stamps = version, stamps
            log.info("took over %s", self.current.version)
            return True
        if broken:
            raise broken
        return False

    def _read(self) -> Served:
        folder = current_bundle(self._published)
        recommender = Recommender.load(folder, self.params)
        # Explaining hooks into the network; it has modules of its own then, and the same weights.
        shared = {id(tensor): tensor for tensor in recommender.model.state_dict(keep_vars=True).values()}
        explaining = copy.copy(recommender)
        explaining.model = copy.deepcopy(recommender.model, shared)
        explainer, facts = Explainer(explaining, folder), read_manifest(folder).facts
        found = Served(folder, recommender, explainer, facts, self._lists.hidden(recommender))
        # The first call of each part is slower than all others.
        recommender.recommend(recommender.item_ids[:1], k=1)
        _ = found.directions
        return found


def similar(served: Served, row: int, k: int, hidden: IntArray) -> list[tuple[int, float]]:
    """The ``k`` items whose vectors point most where that of ``row`` does, none of ``hidden``, and the cosines."""
    cosine = served.directions @ served.directions[row]
    cosine[torch.from_numpy(np.append(hidden, row))] = -torch.inf
    best, items = top_items(cosine[None], k)
    return [pair for pair in zip(items[0].tolist(), best[0].tolist(), strict=True) if pair[0] >= 0]


def _stamp(path: Path | None) -> _Stamp:
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        # Between being removed and put there again.
        return (0, 0, 0)
    return found.st_mtime_ns, found.st_size, found.st_ino
