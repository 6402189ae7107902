"""Cases from events that came after a model was made: what it would have been asked, and what came next.

The target of a user is their last event, as under leave-one-out; everything before it is history, events since
included. The model may not know all items: those it doesn't are left out of the history, and such a target can only be
missed. So two models can be asked about the same users, each within its own catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from s2gr.cases import Cases, cases_before
from s2gr.evaluation.ranking import FILTERS
from s2gr.metrics import NOT_RANKED, Ranks, ranks_in_list
from s2gr.reasoner.recommender import Recommender


@dataclass(frozen=True)
class Since:
    """The users' events in their order, and the place in them of each user's target.

    Args of the events: ``users`` int64, ascending, ``item_ids``; ``targets`` are indices into both, one per user.
    """

    users: npt.NDArray[np.int64]
    item_ids: pa.Array
    targets: npt.NDArray[np.int64]

    def sample(self, size: int, seed: int) -> Since:
        """At most ``size`` targets, drawn without replacement, in their order."""
        if len(self.targets) <= size:
            return self
        chosen = np.random.default_rng(seed).choice(self.targets, size, replace=False)
        return Since(self.users, self.item_ids, np.sort(chosen))


def last_events(users: npt.NDArray[np.int64], item_ids: pa.Array, eligible: npt.NDArray[np.bool_]) -> Since:
    """The last event of each user as a target, if it is ``eligible`` and not the user's only one.

    Args:
        users: int64 ``[events]``, ascending; each user's events in their order.
        item_ids: of each event.
        eligible: bool ``[events]``: whether the event came after the model was made.
    """
    last = np.append(users[1:] != users[:-1], True) if len(users) else np.zeros(0, dtype=bool)
    first = np.append(True, users[1:] != users[:-1]) if len(users) else last
    return Since(users, item_ids, np.flatnonzero(last & ~first & eligible))


def known_cases(events: Since, catalogue: Sequence[str], history: int) -> tuple[Cases, npt.NDArray[np.bool_]]:
    """The cases as a model with this ``catalogue`` sees them.

    Returns: a case for each target of whose history the model knows an item, with target −1 where it doesn't know that;
        and bool ``[targets]``, for which targets there is one.
    """
    rows = pc.fill_null(pc.index_in(events.item_ids, value_set=pa.array(catalogue, pa.string())), -1)
    items = rows.to_numpy(zero_copy_only=False).astype(np.int64)
    starts = np.searchsorted(events.users, events.users[events.targets])
    # How many known items stand before each place.
    before = np.concatenate([[0], np.cumsum(items >= 0)])
    known = items[items >= 0]
    counts = before[events.targets] - before[starts]
    asked = counts > 0
    targets, counts, ends = events.targets[asked], counts[asked], before[events.targets[asked]]
    return cases_before(targets, events.users[targets], items[targets], known, ends - counts, ends, history), asked


def ranks(recommender: Recommender, cases: Cases, k: int, beam: int, batch_size: int) -> dict[str, Ranks]:
    """The target's place among the best ``k`` of the model's own ranking, under each filter of ``FILTERS``."""
    own = recommender.model.params.ranking
    found: dict[str, list[Ranks]] = {suffix: [] for suffix in FILTERS}
    for batch in cases.batches(batch_size):
        filters = [None, recommender.excluded(batch.seen())]
        rankings = recommender.rankings_under(filters, batch.histories, batch.lengths, k, beam)
        for suffix, ranking in zip(FILTERS, rankings, strict=True):
            place = ranks_in_list(ranking[own].items, batch.targets)
            # −1 also fills up a short list.
            found[suffix].append(np.where(batch.targets < 0, NOT_RANKED, place))
    return {suffix: np.concatenate(parts) for suffix, parts in found.items()}
