"""Parts of the users that an average hides: short and long histories, popular and rare targets, old and new steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy import sparse

from s2gr.cases import Cases

Mask = npt.NDArray[np.bool_]

# Events before the target: from … up to and including.
HISTORIES = ((1, 5), (6, 10), (11, 20), (21, None))
# The paper reports the users with at least so many events, the target among them.
LONG_HISTORY = 10
THIRDS = ("head", "middle", "tail")


def slices(cases: Cases, transitions: sparse.csr_array, popularity: npt.NDArray[np.integer]) -> Mapping[str, Mask]:
    """Which cases belong to each slice: bool ``[cases]``. A slice may be empty.

    ``memorised``: the step from the last item to the target occurred in training; ``generalised``: it did not.
    ``head``, ``middle``, ``tail``: the target's popularity, in thirds of the training events (not of the items: the
    head is the few items that make up a third of all events). ``cold``: the target never occurred in training.

    Args:
        transitions: CSR ``[items, items]``, how often the column's item followed the row's in training.
        popularity: ``[items]``, the training events of each item.
    """
    last = cases.last_items
    memorised = (last >= 0) & (np.asarray(transitions[np.maximum(last, 0), cases.targets]).ravel() > 0)
    before = np.diff(cases.seen_offsets)
    third = popularity_thirds(popularity)[cases.targets]
    cold = popularity[cases.targets] == 0
    parts = {f"at_least_{LONG_HISTORY}_events": before + 1 >= LONG_HISTORY}
    for low, high in HISTORIES:
        name = f"history_{low}_to_{high}" if high else f"history_from_{low}"
        parts[name] = (before >= low) & (before <= (high or np.inf))
    parts |= {name: (third == index) & ~cold for index, name in enumerate(THIRDS)}
    return parts | {"cold": cold, "memorised": memorised, "generalised": ~memorised}


def popularity_thirds(popularity: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """0, 1 or 2 for each item: the most popular ones that make up a third of all events, the next third, the rest.

    Equally popular items go by index; an item counts where its first event lies.
    """
    order = np.argsort(-popularity, kind="stable")
    before = np.cumsum(popularity[order]) - popularity[order]
    third = np.empty(len(popularity), np.int64)
    third[order] = np.minimum(3 * before // max(int(popularity.sum()), 1), 2)
    return third
