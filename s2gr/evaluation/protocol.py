"""What the figures are figures of: split, ties, history, beam and filters, as the report states them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from s2gr.cases import Cases
from s2gr.manifest import hash_files
from s2gr.params import Evaluation, Reasoner
from s2gr.sequences import TRAIN, Sequences
from s2gr.workspace import Workspace, read_table

SCHEMES = {
    "leave-one-out": "leave-one-out per user: the last event is the target; all users",
    "temporal": (
        "one cut in time for all users: a user's first event after it is the target; all users with events before it"
    ),
}
TIES = {
    "log": "by the order of the log's rows",
    "shuffled": "by a seeded shuffle",
}


def basis(inputs: Workspace) -> dict[str, str]:
    """The files that the figures are about, as paths below ``inputs``, and the SHA-256 of each."""
    files = [inputs.events, inputs.items, inputs.sids, *inputs.reasoner.iterdir()]
    return hash_files(inputs.root, [path.relative_to(inputs.root).as_posix() for path in files])


def describe_protocol(
    events: Path,
    sequences: Sequences,
    cases: Cases,
    popularity: npt.NDArray[np.integer],
    settings: Evaluation,
    trained: Reasoner,
    repeats: float,
) -> dict[str, Any]:
    """What stands above the figures.

    Args:
        events: the log as the stage of that name wrote it: its footer says how it was ordered and split.
        repeats: what S²GR multiplies the scores of items in the history by.
    """
    told = {key.decode(): value.decode() for key, value in (pq.read_schema(events).metadata or {}).items()}
    split, ties = told.get("split", "leave-one-out"), told.get("ties", "log")
    timestamps = read_table(events, ["timestamp"])["timestamp"].to_numpy()
    targets = cases.events
    core = int(told["k_core"]) if "k_core" in told else None
    training = np.sort(timestamps[sequences.split == TRAIN])
    later = 1 - np.searchsorted(training, timestamps[targets], side="right") / max(len(training), 1)
    return {
        "split": "test",
        "scheme": f"{SCHEMES[split]}; full catalogue, item level, no sampled negatives",
        "events_split": split,
        "ties": ties,
        "tie_rule": f"events of one user with equal timestamps are ordered {TIES[ties]}",
        "k_core": core,
        "history": trained.history,
        "beam": settings.beams[0],
        "beams": list(settings.beams),
        "ranking": trained.ranking,
        "thinking": trained.thinking,
        "filter": "none; `_seen_filtered` leaves out all items that the user met before",
        "factor_for_repeats": repeats,
        "equal_scores": "by the order of items.parquet",
        "users": len(cases),
        "items": sequences.n_items,
        "events": len(sequences.items),
        # Their order within the timestamp is that of the tie rule.
        "targets_tied_with_previous": _share(timestamps[targets] == timestamps[targets - 1]),
        # The seen filter makes them unreachable.
        "targets_seen_before": _share(_seen_before(cases)),
        "targets_cold": int((popularity[cases.targets] == 0).sum()),
        # Under a global cut: they are in the core by events after it.
        "targets_below_k_core": _share(popularity[cases.targets] < (core or 0)),
        # How much of the training events lies after a target, on average: what leave-one-out lets a model see.
        "training_after_target": round(float(later.mean()), 6),
    }


def _seen_before(cases: Cases) -> npt.NDArray[np.bool_]:
    counts = np.diff(cases.seen_offsets)
    same = cases.seen_items == np.repeat(cases.targets, counts)
    return np.bincount(np.repeat(np.arange(len(cases)), counts)[same], minlength=len(cases)) > 0


def _share(mask: npt.NDArray[np.bool_]) -> float:
    return round(float(mask.mean()), 6)
