"""One measured signal of drift, and when it is an alarm.

Significant is not the same as worth an alarm: tastes always move, and on large windows any difference is beyond chance.
So an alarm takes three things. The statistic exceeds what chance gives (``limit``); it does so by more than ``floor``,
the smallest move that somebody should act on; and the move came after the model was made, not shortly before, where the
model has learned from it already (``settled``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from data_checks.psi import Noise
from data_checks.result import Check, CheckResult, Metadata, outcome

# `moved`: beyond chance, and too little to act on.
Verdict = Literal["as before", "moved", "settled", "alarm", "not measured"]


@dataclass(frozen=True)
class Signal:
    """What was observed, and what chance gives on average and at most."""

    name: str
    statistic: str
    observed: float
    chance: Noise
    # How far above the mean of chance the statistic must lie.
    floor: float
    settled: bool = False
    details: Metadata = field(default_factory=dict)

    @property
    def threshold(self) -> float:
        return max(self.chance.limit, self.chance.mean + self.floor)

    @property
    def verdict(self) -> Verdict:
        if self.observed > self.threshold:
            return "settled" if self.settled else "alarm"
        return "moved" if self.observed > self.chance.limit else "as before"


@dataclass(frozen=True)
class NotMeasured:
    """A signal for which there is no evidence, and why; nothing is held against it, but a ``fault`` of the data."""

    reason: str
    fault: bool = False


def result(check: Check, signals: list[Signal] | NotMeasured, shared: Metadata) -> CheckResult:
    """Of the signals of one check, that which is nearest to an alarm, with the figures of all."""
    if isinstance(signals, NotMeasured):
        told: Metadata = {"observed": f"not measured: {signals.reason}", "expected": "", "verdict": "not measured"}
        return outcome(check, not signals.fault, **told, **shared)
    worst = max(signals, key=lambda signal: (signal.verdict == "alarm", signal.observed - signal.threshold))
    figures: Metadata = {
        "observed": worst.observed,
        "expected": f"{worst.statistic} at most {worst.threshold:.4f}",
        "verdict": worst.verdict,
    }
    for signal in signals:
        figures |= {
            f"{signal.name}": signal.observed,
            f"{signal.name}_chance": signal.chance.mean,
            f"{signal.name}_chance_limit": signal.chance.limit,
            f"{signal.name}_threshold": signal.threshold,
            f"{signal.name}_verdict": signal.verdict,
        }
        figures |= {f"{signal.name}_{key}": value for key, value in signal.details.items()}
    return outcome(check, worst.verdict != "alarm", **figures, **shared)
