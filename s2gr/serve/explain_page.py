"""Explanations as one HTML page that needs nothing else: style sheet and trees are inlined, no script runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from s2gr.evaluation.markup import page
from s2gr.reasoner.recommender import Item
from s2gr.serve.explain import Explanation, Source
from s2gr.serve.explained import Explained
from s2gr.serve.tree import tree

# Items whose explanation is open when the page is.
_OPEN = 3
_STYLE = """
details { background: var(--panel); border-radius: 8px; padding: 12px 18px; margin: 12px 0; }
summary { cursor: pointer; font-weight: 600; } summary code { font-weight: 400; margin-left: 8px; }
.sources { display: flex; height: 14px; border-radius: 3px; overflow: hidden; max-width: 640px; margin: 10px 0 4px; }
.sources i { display: block; background: var(--accent); } .sources .s1 { background: var(--s1); }
.sources .s2 { background: var(--s2); } .sources .s3 { background: var(--s3); }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 2px; background: var(--accent); }
.key.s1 { background: var(--s1); } .key.s2 { background: var(--s2); } .key.s3 { background: var(--s3); }
.tree { overflow-x: auto; margin: 10px 0; } .tree svg { width: 100%; min-width: 860px; }
.tree rect { fill: var(--paper); stroke: var(--line); } .tree .chosen rect { stroke: var(--accent); stroke-width: 2; }
.tree .code rect { fill: var(--accent); stroke: none; } .tree .code text { fill: var(--paper); font-weight: 600; }
.tree path { fill: none; stroke: var(--bar); } .tree path.chosen { stroke: var(--accent); }
.tree .code .tiny { font-size: 10.5px; font-weight: 400; }
.tree .small { font-size: 11.5px; fill: var(--soft); } .tree .p { text-anchor: end; fill: var(--soft); }
.read td:nth-child(2) { min-width: 260px; white-space: normal; text-align: left; }
.meter { display: inline-block; height: 9px; border-radius: 2px; background: var(--bar); vertical-align: 0; }
.meter.lost { background: var(--s1); } .meter.gained { background: var(--s2); }
.read td.wide { text-align: left; min-width: 170px; }
"""


def render(explained: Explained) -> str:
    """The page."""
    body = "\n".join([*_head(explained), *_trust(explained), *_items(explained)])
    return page("S²GR: why these items", body, _STYLE)


def _head(explained: Explained) -> Iterator[str]:
    whose = "this history" if explained.user is None else f"user {escape(explained.user)}"
    yield f"<h1>Why these items for {whose}</h1>"
    yield (
        f'<p class="soft">Model {escape(explained.version)}. It read the last {len(explained.history)} items of the '
        "history. Each item has a semantic ID of several codes. Before each code the model thinks of the clusters of "
        "codes that may come: the boxes, with their probability and the words that set their items apart. The way to "
        "the item is drawn in colour; other clusters tell which items they would have led to.</p>"
    )


def _trust(explained: Explained) -> Iterator[str]:
    yield "<h2>How far to trust this</h2>"
    yield from (f"<p>{escape(sentence)}</p>" for sentence in explained.faithfulness.sentences)


def _items(explained: Explained) -> Iterator[str]:
    yield "<h2>The items</h2>"
    if not explained.items:
        yield "<p>Nothing may be recommended.</p>"
    for place, each in enumerate(explained.items, start=1):
        sid = "-".join(map(str, each.sid))
        yield (
            f"<details{' open' if place <= _OPEN else ''}><summary>{place}. {escape(each.title)} <code>{sid}</code>"
            f"</summary>{_sources(each)}{_path(each)}{_read(explained.history, each)}</details>"
        )


def _sources(each: Explanation) -> str:
    total = sum(source.contribution for source in each.sources) or 1.0
    bars = "".join(
        f'<i class="s{index}" style="width:{100 * source.contribution / total:.1f}%"></i>'
        for index, source in enumerate(each.sources)
    )
    told = "".join(_source(index, source, total) for index, source in enumerate(each.sources))
    return (
        f'<h3>Score {each.score:.4f}: which source gave how much</h3><div class="sources">{bars}</div>'
        f'<div class="legend">{told}</div>'
    )


def _source(index: int, source: Source, total: float) -> str:
    return (
        f'<span><span class="key s{index}"></span> {escape(source.name)} {source.contribution / total:.0%} '
        f"(weight {source.weight:.2g} × {source.probability:.4f})</span>"
    )


def _path(each: Explanation) -> str:
    return f'<h3>The decoder’s path to it: probability {each.probability:.2%}</h3><div class="tree">{tree(each)}</div>'


def _read(history: Sequence[Item], each: Explanation) -> str:
    rows = []
    for place, (item, attention) in enumerate(zip(history, each.attention, strict=True), start=1):
        lost = each.without[place - 1] if each.without else None
        rows.append(
            f"<tr><td>{place}</td><td>{escape(item.title)}</td>"
            f'<td class="wide">{_meter(attention)} {attention:.0%}</td>'
            f'<td class="wide">{_effect(lost)}</td></tr>'
        )
    return (
        "<h3>What it read, oldest first</h3>"
        '<div class="scroll"><table class="read"><thead><tr><th></th><th class="text">item</th>'
        '<th class="text">attention</th><th class="text">without it the score changes by</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _effect(lost: float | None) -> str:
    if lost is None:
        return "–"
    kind = " lost" if lost >= 0 else " gained"
    told = f"{-lost:+.0%}".replace("-", "−") if abs(lost) >= 0.005 else "0%"
    return f"{_meter(min(abs(lost), 1.0), kind)} {told}"


def _meter(share: float, kind: str = "") -> str:
    return f'<span class="meter{kind}" style="width:{110 * share:.0f}px"></span>'
