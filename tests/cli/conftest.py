from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from s2gr import stage as stage_module
from s2gr.freshness import OUTPUTS
from s2gr.params import Params
from s2gr.publish import checked
from s2gr.publish.publishing import Outcome
from s2gr.workspace import Workspace, write_json, write_table

RESULT = {"recall@5": 0.1, "ndcg@5": 0.05, "recall@10": 0.2, "ndcg@10": 0.08}
VERDICT = {"difference": 0.01, "low": 0.004, "high": 0.02, "verdict": "better"}
EVALUATION = {
    "protocol": {"users": 943, "items": 1349, "history": 20, "beam": 20, "ranking": "fused"},
    **{
        f"{name}{suffix}": RESULT
        for name in ("s2gr", "s2gr_beam", "popularity", "walk", "walk_undirected")
        for suffix in ("", "_seen_filtered")
    },
    "walk_undirected_seen_filtered": {**RESULT, "ndcg@10": 0.11},
    "significance": {
        "metric": "ndcg@10",
        "s2gr_vs_walk": VERDICT,
        "s2gr_vs_walk_undirected_seen_filtered": {**VERDICT, "verdict": "can't tell"},
    },
}
SIDS = {
    "items": 1349,
    "level_1": {"level": 1, "utilisation": 0.99, "dead_codes": 2, "perplexity": 201.5, "gini": 0.31},
    "level_2": {"level": 2, "utilisation": 1.0, "dead_codes": 0, "perplexity": 220.0, "gini": 0.2},
    "collisions": {"before": 0.123, "after": 0.0, "largest_bucket": 4, "moved": 88},
}
TIMINGS = {"events": {"seconds": 1.25, "peak_mb": 180}, "reasoner": {"seconds": 100.0, "peak_mb": 900}}


def write_events(workspace: Workspace) -> None:
    write_table(pa.table({"user_id": ["196"], "item_id": ["7"]}), workspace.events)


class FakeStages:
    """Stages that write all their outputs from nothing, and remember that they ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        # Called in the middle of a stage, by its name.
        self.during: dict[str, Callable[[], None]] = {}

    def function(self, stage: str) -> Callable[[Params, Workspace, Workspace], dict[str, object]]:
        def run(params: Params, inputs: Workspace, outputs: Workspace) -> dict[str, object]:
            self.ran.append(stage)
            for name in OUTPUTS[stage]:
                path = outputs.root / name
                if name.startswith("models/"):
                    path.mkdir(parents=True)
                    path = path / "config.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                if path == outputs.events:
                    write_events(outputs)
                else:
                    path.write_text(f"{stage} {params.model_dump(include={stage})}")
            self.during.get(stage, lambda: None)()
            return EVALUATION if stage == "evaluation" else SIDS if stage == "sids" else {"stage": stage}

        return run


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeStages:
    """Fake stages, run in a folder of their own with an empty landing folder."""
    fake = FakeStages()
    monkeypatch.setattr(stage_module, "stage_function", fake.function)
    monkeypatch.setattr(checked, "publish_checked", lambda workspace, params: Outcome("published", "v1"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/landing").mkdir(parents=True)
    return fake


@pytest.fixture
def evaluated(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "work")
    write_events(workspace)
    write_json(EVALUATION, workspace.report("evaluation"))
    write_json(SIDS, workspace.report("sids"))
    workspace.state.mkdir()
    write_json(TIMINGS, workspace.state / "timings.json")
    return workspace
