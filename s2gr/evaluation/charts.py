"""Small charts as inline SVG: nothing is fetched, nothing is run, and a browser's dark mode colours them by CSS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_ROW = 26
_BAR = 15
_LABEL = 190
_PLOT = 360
_VALUE = 60


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    # Drawn in the accent colour.
    ours: bool = False


@dataclass(frozen=True)
class Dot:
    """One system's value in a row of a dot chart."""

    value: float
    # Of the CSS class `series-{n}`.
    series: int
    told: str


def bars(rows: Sequence[Bar], title: str) -> str:
    """Horizontal bars from 0, with their values."""
    longest = max((row.value for row in rows), default=0.0) or 1.0
    drawn = []
    for index, row in enumerate(rows):
        top = index * _ROW
        width = _PLOT * row.value / longest
        ours = " ours" if row.ours else ""
        drawn.append(
            f'<text class="label{ours}" x="{_LABEL - 10}" y="{top + 17}">{escape(row.label)}</text>'
            f'<rect class="bar{ours}" x="{_LABEL}" y="{top + 5}" width="{width:.1f}" '
            f'height="{_BAR}" rx="2"/>'
            f'<text class="value" x="{_LABEL + width + 6:.1f}" y="{top + 17}">{row.value:.4f}</text>'
        )
    return _svg(_LABEL + _PLOT + _VALUE, len(rows) * _ROW, title, drawn)


def dots(rows: Sequence[tuple[str, Sequence[Dot]]], title: str) -> str:
    """A row per label, a dot per system, all on one scale from 0."""
    largest = max((dot.value for _, found in rows for dot in found), default=0.0) or 1.0
    bottom = len(rows) * _ROW
    drawn = [
        f'<line class="grid" x1="{_x(tick, largest):.1f}" y1="0" x2="{_x(tick, largest):.1f}" y2="{bottom}"/>'
        f'<text class="tick" x="{_x(tick, largest):.1f}" y="{bottom + 15}">{tick:.2f}</text>'
        for tick in _ticks(largest)
    ]
    for index, (label, found) in enumerate(rows):
        middle = index * _ROW + 13
        drawn.append(f'<text class="label" x="{_LABEL - 10}" y="{middle + 4}">{escape(label)}</text>')
        drawn.append(f'<line class="guide" x1="{_LABEL}" y1="{middle}" x2="{_LABEL + _PLOT}" y2="{middle}"/>')
        # The last series is drawn first, so that the first one is never hidden.
        for dot in reversed(found):
            drawn.append(
                f'<circle class="series-{dot.series}" cx="{_x(dot.value, largest):.1f}" cy="{middle}" r="5.5">'
                f"<title>{escape(dot.told)}: {dot.value:.4f}</title></circle>"
            )
    return _svg(_LABEL + _PLOT + _VALUE, bottom + 22, title, drawn)


def reliability(bins: Sequence[tuple[float, float, int]], title: str) -> str:
    """Accuracy against confidence, ``(confidence, accuracy, cases)`` per bin; the area of a dot is its cases."""
    size, left = 190, 34
    most = max((cases for _, _, cases in bins), default=1)
    drawn = [f'<line class="diagonal" x1="{left}" y1="{size}" x2="{left + size}" y2="0"/>']
    for tick in (0.0, 0.5, 1.0):
        height = size * (1 - tick)
        drawn.append(
            f'<line class="grid" x1="{left}" y1="{height:.1f}" x2="{left + size}" y2="{height:.1f}"/>'
            f'<text class="label" x="{left - 6}" y="{height + 4:.1f}">{tick:g}</text>'
            f'<text class="tick" x="{left + size * tick:.1f}" y="{size + 15}">{tick:g}</text>'
        )
    places = [(left + size * confidence, size * (1 - accuracy)) for confidence, accuracy, _ in bins]
    drawn.append(f'<polyline class="line" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
    for (x, y), (confidence, accuracy, cases) in zip(places, bins, strict=True):
        drawn.append(
            f'<circle class="series-0" cx="{x:.1f}" cy="{y:.1f}" r="{2 + 6 * (cases / most) ** 0.5:.1f}">'
            f"<title>{cases:,} cases: said {confidence:.2f}, right {accuracy:.2f}</title></circle>"
        )
    return _svg(left + size + 14, size + 22, title, drawn)


def _x(value: float, largest: float) -> float:
    return _LABEL + _PLOT * value / largest


def _ticks(largest: float) -> list[float]:
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if largest / step <= 6)
    return [index * step for index in range(int(largest / step) + 1)]


def _svg(width: float, height: float, title: str, drawn: Sequence[str]) -> str:
    # A margin above, for what stands at the upper edge.
    return (
        f'<svg viewBox="0 -8 {width} {height + 8}" width="{width}" role="img" aria-label="{escape(title)}">'
        f"{''.join(drawn)}</svg>"
    )
