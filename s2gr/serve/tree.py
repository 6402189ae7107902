"""The decoder's path to an item as a tree in SVG: each thought's clusters, the chosen codes, the ways not taken."""

from __future__ import annotations

from html import escape

from s2gr.serve.explain import Cluster, Explanation, Step, counted, named, of_choices

# Widths and heights in pixels.
_BOX, _CODE, _GAP = 236, 96, 34
_HIGH, _SPACE = 62, 10
# Letters that fit into a box.
_NAME, _TITLE, _CODE_NAME = 27, 32, 14


def tree(explanation: Explanation) -> str:
    """All steps from left to right."""
    rows = max(max(len(step.thought), 1) for step in explanation.steps)
    height = rows * (_HIGH + _SPACE)
    drawn, x, came_from = [], 0.0, None
    for step in explanation.steps:
        for index, cluster in enumerate(step.thought):
            top = _top(index, len(step.thought), height)
            if came_from is not None:
                drawn.append(_link(*came_from, x, top + _HIGH / 2, cluster.probability, cluster.chosen))
            if cluster.chosen:
                end = (x + _BOX, top + _HIGH / 2, x + _BOX + _GAP, height / 2)
                drawn.append(_link(*end, step.probability, True))
            drawn.append(_cluster(cluster, x, top))
        x += _BOX + _GAP if step.thought else 0
        drawn.append(_code(step, x, height / 2 - _HIGH / 2))
        came_from = (x + _CODE, height / 2)
        x += _CODE + _GAP
    width = x - _GAP
    path = " then ".join(str(step.code) for step in explanation.steps)
    return (
        f'<svg viewBox="-2 -2 {width + 4:.0f} {height + 4:.0f}" width="{width:.0f}" height="{height:.0f}" role="img" '
        f'aria-label="codes {path}">{"".join(drawn)}</svg>'
    )


def _top(index: int, boxes: int, height: float) -> float:
    """Of the box ``index``, all of them centred."""
    return (height - boxes * (_HIGH + _SPACE) + _SPACE) / 2 + index * (_HIGH + _SPACE)


def _cluster(cluster: Cluster, x: float, y: float) -> str:
    below = ["its own"] if cluster.chosen else [f"→ {_cut(found.title, _TITLE)}" for found in cluster.leads_to]
    if cluster.name:
        below = [counted(cluster.items)] if cluster.chosen or not below else below
    lines = "".join(
        f'<text class="small" x="{x + 10}" y="{y + 37 + 16 * index}">{escape(line)}</text>'
        for index, line in enumerate(below)
    )
    led = "; ".join(f"{found.title} ({found.probability:.2%})" for found in cluster.leads_to)
    about = f"{named(cluster)}: {cluster.probability:.1%}" + (f"; would have led to {led}" if led else "")
    name = _cut(cluster.name or counted(cluster.items), _NAME)
    return (
        f"<g{' class=chosen' if cluster.chosen else ''}><title>{escape(about)}</title>"
        f'<rect x="{x}" y="{y}" width="{_BOX}" height="{_HIGH}" rx="6"/>'
        f'<text x="{x + 10}" y="{y + 19}">{escape(name)}</text>'
        f'<text class="p" x="{x + _BOX - 8}" y="{y + 19}">{cluster.probability:.0%}</text>{lines}</g>'
    )


def _code(step: Step, x: float, y: float) -> str:
    about = f"code {step.code} of level {step.level}: {step.name}; {step.probability:.1%} of {of_choices(step.choices)}"
    middle, name = x + _CODE / 2, escape(_cut(step.name, _CODE_NAME))
    return (
        f'<g class="code"><title>{escape(about)}</title>'
        f'<rect x="{x}" y="{y}" width="{_CODE}" height="{_HIGH}" rx="6"/>'
        f'<text x="{middle}" y="{y + 18}" text-anchor="middle">{step.code}</text>'
        f'<text x="{middle}" y="{y + 35}" class="tiny" text-anchor="middle">{name}</text>'
        f'<text x="{middle}" y="{y + 52}" text-anchor="middle">{step.probability:.0%} of {step.choices}</text></g>'
    )


def _link(x1: float, y1: float, x2: float, y2: float, share: float, chosen: bool) -> str:
    bend = (x1 + x2) / 2
    return (
        f'<path{" class=chosen" if chosen else ""} stroke-width="{1 + 7 * share:.1f}" '
        f'd="M{x1:.0f} {y1:.0f}C{bend:.0f} {y1:.0f} {bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"/>'
    )


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1].rstrip()}…"
