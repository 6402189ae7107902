"""All sections together, and what must hold between them."""

from __future__ import annotations

from pydantic import model_validator

from s2gr.params.operation import Alerts, Drift, Publish, Retraining, Serve
from s2gr.params.section import Section
from s2gr.params.stages import (
    Codebook,
    Content,
    Cooccurrence,
    Evaluation,
    Events,
    Reasoner,
    Recommendations,
    Runtime,
    Sids,
    Source,
)


class Params(Section):
    runtime: Runtime = Runtime()
    source: Source = Source()
    events: Events = Events()
    content: Content = Content()
    cooccurrence: Cooccurrence = Cooccurrence()
    codebook: Codebook = Codebook()
    sids: Sids = Sids()
    reasoner: Reasoner = Reasoner()
    evaluation: Evaluation = Evaluation()
    recommendations: Recommendations = Recommendations()
    drift: Drift = Drift()
    publish: Publish = Publish()
    retraining: Retraining = Retraining()
    alerts: Alerts = Alerts()
    serve: Serve = Serve()

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        if self.reasoner.clusters > self.codebook.codes:
            raise ValueError(
                f"reasoner.clusters ({self.reasoner.clusters}) must not exceed codebook.codes ({self.codebook.codes})"
            )
        if self.sids.balanced and self.codebook.kind != "coba":
            raise ValueError(
                f"`sids.balanced` is for codebook.kind `coba`, which balances in training; with `{self.codebook.kind}` "
                "set it to false"
            )
        steps, levels = self.reasoner.steps, self.codebook.levels
        if self.reasoner.thinking != "none" and len(steps) != levels:
            raise ValueError(
                f"reasoner.steps needs a number of thoughts for each of the {levels} codebook.levels, found {steps}"
            )
        return self
