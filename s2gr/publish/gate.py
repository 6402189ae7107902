"""May the challenger take the champion's place? Both recommend to the users of the newest events, and checks are held.

The cases are the newest held-out events: the last event of each user in the challenger's log, if neither model has
learned from it and it came after the log that the champion was made from. Both get the same histories and targets, each
within its own catalogue; a target that a model does not know is a miss. Of Recall and NDCG at the largest k, over the
whole catalogue and without items already seen, the challenger must be significantly better in one and significantly
worse in none: a paired bootstrap over users, the former corrected for how many figures there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from s2gr.evaluation.ranking import FILTERS
from s2gr.evaluation.significance import compare
from s2gr.manifest import read_manifest
from s2gr.metrics import gains, hits
from s2gr.params import Params
from s2gr.publish.provenance import AHEAD
from s2gr.publish.publishing import Verdict
from s2gr.publish.since import Since, known_cases, last_events, ranks
from s2gr.reasoner.recommender import Recommender
from s2gr.workspace import Workspace, read_table

Values = npt.NDArray[np.float64]

# Of significance; for "better" it is shared among the figures.
LEVEL = 0.05
_RESAMPLES = 4000


@dataclass(frozen=True)
class Gate:
    """As :func:`s2gr.publish.publishing.publish` takes it.

    Args:
        work: the work folder that the challenger was made in, for its log.
        params: what it was made with.
        faults: checks of the challenger that failed, each in a line; with any it is rejected.
    """

    work: Workspace
    params: Params
    faults: Sequence[str] = ()

    def __call__(self, challenger: Workspace, champion: Workspace | None) -> Verdict:
        if self.faults:
            return Verdict(False, f"{len(self.faults)} checks failed: {'; '.join(self.faults)}")
        if champion is None:
            return Verdict(True, "its checks are green, and there is no champion to compare it with")
        events = newest_held_out(self.work, champion)
        figures: dict[str, Any] = {"users": len(events.targets)}
        fewest = self.params.retraining.users
        if len(events.targets) < fewest:
            told = f"{len(events.targets)} users have held-out events since the champion's log; {fewest} are needed"
            return Verdict(False, told, figures)
        k = max(self.params.evaluation.ks)
        ours, theirs = (measured(bundle, events, k, self.params) for bundle in (challenger, champion))
        better, worse = [], []
        for name in ours:
            plain, strict = (
                compare(ours[name], theirs[name], _RESAMPLES, np.random.default_rng(self.params.runtime.seed), level)
                for level in (LEVEL, LEVEL / len(ours))
            )
            means = {"champion": float(theirs[name].mean()), "challenger": float(ours[name].mean())}
            figures[name] = {role: round(mean, 6) for role, mean in means.items()} | plain.as_dict()
            better += [name] if strict.verdict == "better" else []
            worse += [name] if plain.verdict == "worse" else []
        if worse:
            return Verdict(False, f"significantly worse in {_listed(worse, figures)}", figures)
        if not better:
            most = max(ours, key=lambda name: figures[name]["difference"])
            return Verdict(False, f"not significantly better in anything; most in {_listed([most], figures)}", figures)
        return Verdict(True, f"significantly better in {_listed(better, figures)}, worse in nothing", figures)


def newest_held_out(work: Workspace, champion: Workspace) -> Since:
    """The last event of each user, if it is a test target and newer than the champion's log."""
    ended = datetime.fromisoformat(read_manifest(champion.root).facts["log"]["last"])
    table = read_table(work.events, ["user_id", "item_id", "timestamp", "split"])
    users = pc.rank(table["user_id"], tiebreaker="dense").to_numpy().astype(np.int64)
    kind = table.schema.field("timestamp").type
    newer = pc.and_(
        pc.greater(table["timestamp"], pa.scalar(ended, kind)),
        # It may have been in the champion's log already: beyond that log's end, as beyond every clock.
        pc.less_equal(table["timestamp"], pa.scalar(datetime.now(UTC) + AHEAD, kind)),
    )
    # On validation targets, which a temporal split has among the last events, the challenger chose epoch and weights.
    held_out = pc.equal(table["split"].cast(pa.string()), "test")
    eligible = pc.and_(newer, held_out).to_numpy()
    return last_events(users, table["item_id"].combine_chunks().cast(pa.string()), np.asarray(eligible))


def measured(bundle: Workspace, events: Since, k: int, params: Params) -> dict[str, Values]:
    """Figure → its value for each target; a history without any known item finds nothing."""
    recommender = Recommender.load(bundle, params)
    cases, asked = known_cases(events, recommender.item_ids, recommender.model.params.history)
    found: dict[str, Values] = {}
    settings = params.evaluation
    places = ranks(recommender, cases, k, settings.beams[0], settings.batch_size) if len(cases) else {}
    for suffix in FILTERS:
        for name, metric in (("recall", hits), ("ndcg", gains)):
            values = np.zeros(len(events.targets))
            if places:
                values[asked] = metric(places[suffix], k)
            found[f"{name}@{k}{suffix}"] = values
    return found


def _listed(names: list[str], figures: dict[str, Any]) -> str:
    return ", ".join(f"{name} ({figures[name]['champion']:.4f} → {figures[name]['challenger']:.4f})" for name in names)
