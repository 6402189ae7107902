"""The sections of what goes on around the stages: drift, publishing, retraining, alerts, the service."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from s2gr.params.section import Count, Fraction, Hours, Positive, Section


class Drift(Section):
    """When the newest events count as drifted away from what the published model was trained on."""

    # How often the check as a whole may fire where nothing has changed but chance.
    false_alarm: Annotated[float, Field(ge=0.001, le=0.5)] = 0.01
    # What is worth an alarm, however significant less is. PSI above its mean under chance.
    floor: Annotated[float, Field(ge=0.0)] = 0.25
    # The share of the newest events that may fall on items without a semantic ID.
    without_sid: Fraction = 0.05
    # The probability that a new item fits the codebook worse than a left-out one; 0.5 = as well.
    new_items: Annotated[float, Field(ge=0.5, lt=1.0)] = 0.7
    # The move of the thinking clusters' entropy, as a share of the most possible.
    thinking: Fraction = 0.1
    # The share of Recall@10 that is lost.
    recall_lost: Fraction = 0.3
    # The current window: so many newest days of what has happened since the model was made; null = all of it, in which
    # a sudden move drowns the sooner the older the model is.
    days: Annotated[float, Field(gt=0.0, le=365_000.0)] | None = 7.0
    # And so many events at least, as far as there are as many: below, a handful of users' whims look like a new world
    # (docs/operations.md tells from where on the false-alarm rate was measured).
    events: Annotated[int, Field(ge=1)] = 2000
    # Users whom the published model is asked about.
    cases: Annotated[int, Field(ge=100)] = 1000
    # Events of each window in the HTML report.
    sample: Annotated[int, Field(ge=100)] = 20_000
    # While nothing is published: the newest events, as a share of all.
    window: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.1


class Publish(Section):
    """What ``s2gr publish`` leaves in ``models/published``."""

    # Versions, the one that is served among them.
    keep: Annotated[int, Field(ge=1)] = 5


class Retraining(Section):
    """When drift starts a retraining, and what its challenger must show (orchestration/retraining.py)."""

    # At least so long after the last one began; an alarm in between is told, and starts nothing.
    cooldown_hours: Hours = 24.0
    # The challenger goes on from the champion's codebook and content model, so that few items change their ID. They are
    # learned anew where new items fit them badly.
    warm_start: bool = True
    # Users with held-out events since the champion's log; with fewer, nothing can be told and the champion stays.
    users: Annotated[int, Field(ge=2)] = 50
    # Work folders of the newest retrainings that are kept.
    keep: Annotated[int, Field(ge=1)] = 2


class Alerts(Section):
    """What alerts link to; who is told stands elsewhere, as it is secret (s2gr/alerts.py)."""

    # Where people reach Dagster's web server.
    dagster: str = "http://127.0.0.1:3000"


class Serve(Section):
    """Limits of the service, ``s2gr serve``."""

    # Items that may be asked for at once, in a history, and in a request's own list of allowed or denied ones.
    k: Count = 100
    history: Count = 1000
    listed: Count = 10_000
    # Size of a request's body.
    body_kb: Count = 256
    # Seconds for the head of a request to arrive, for its body, and for its answer.
    timeout: Positive = 5.0
    # Processes that rank; 0: the service does it itself, in a thread.
    decoders: Annotated[int, Field(ge=0)] = 2
    # Requests that are ranked together, and that may wait.
    batch: Count = 32
    waiting: Count = 1000
    # Seconds between looks for a new version and new lists.
    look: Positive = 0.5
