"""``reports/evaluation.html``: the figures of ``reports/evaluation.json`` as one page that needs nothing else.

Its style sheet and charts are inlined; no script, no font, no picture is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from s2gr.evaluation.charts import Bar, Dot, bars, dots, reliability
from s2gr.evaluation.labels import FILTER_NAMES, SYSTEMS, label, metric_label
from s2gr.evaluation.markup import cell, note, page, row, table, with_code
from s2gr.evaluation.ranking import FILTERS

PAGE = "reports/evaluation.html"
# Shown in the chart of slices, each in its colour.
_SERIES = ("s2gr", "s2gr_interest", "s2gr_beam", "walk", "item_knn", "popularity")
_COLOURED = {"better", "worse"}
# A slice with fewer users is printed faintly.
_FEW = 100
_BEYOND = {
    "coverage": ("coverage", "share of the catalogue in somebody's list"),
    "novelty": ("novelty", "mean self-information of a recommended item, bits"),
    "mean_popularity": ("mean popularity", "training events of a recommended item"),
    "popularity_percentile": ("popularity percentile", "share of the catalogue that is less popular"),
    "gini": ("Gini of exposure", "0: all items equally often, 1: one item only"),
}

Metrics = Mapping[str, Any]


def render(metrics: Metrics) -> str:
    """The page, from what the stage reports."""
    body = "\n".join(
        part
        for section in (
            _head,
            _warnings,
            _rankings,
            _significance,
            _slices,
            _beyond,
            _network,
            _controls,
            _users,
            _protocol,
        )
        for part in section(metrics)
    )
    return page("S²GR: evaluation", body)


def _head(metrics: Metrics) -> Iterator[str]:
    protocol, metric = metrics["protocol"], metrics["significance"]["metric"]
    yield "<h1>How well S²GR ranks the next item</h1>"
    yield (
        f'<p class="soft">{protocol["users"]:,} users, {protocol["items"]:,} items, {protocol["events"]:,} events; '
        f"{escape(protocol['scheme'])}.</p>"
    )
    tiles = []
    for suffix, told in FILTER_NAMES.items():
        values = {name: metrics[name + suffix][metric] for name in ("s2gr", *_baselines(metrics))}
        best = max(_baselines(metrics), key=values.__getitem__)
        verdict = metrics["significance"][f"s2gr_vs_{best}{suffix}"]["verdict"]
        told_verdict = f"{_verdict(verdict)} {'than' if verdict in _COLOURED else 'from'} {label(best)}"
        tiles.append(
            f'<div class="tile"><span>{metric_label(metric)}, {told.lower()}</span><b>{values["s2gr"]:.4f}</b>'
            f"<span>{told_verdict}, {values[best]:.4f}</span></div>"
        )
    budget = metrics["budget"]
    tiles.append(
        f'<div class="tile"><span>parameters</span><b>{budget["parameters"] / 1e6:.2f} M</b>'
        f"<span>{budget['inference_mflops_per_user']:,.0f} MFLOP for one user</span></div>"
    )
    yield f'<div class="tiles">{"".join(tiles)}</div>'


def _warnings(metrics: Metrics) -> Iterator[str]:
    if metrics["warnings"]:
        items = "".join(f"<li>{with_code(told)}</li>" for told in metrics["warnings"])
        yield f'<ul class="warnings">{items}</ul>'


def _rankings(metrics: Metrics) -> Iterator[str]:
    yield "<h2>Rankings</h2>"
    metric, columns = metrics["significance"]["metric"], list(metrics["s2gr"])
    for suffix, told in FILTER_NAMES.items():
        names = _systems(metrics)
        yield f"<h3>{told}</h3>"
        chart = bars([Bar(label(name), metrics[name + suffix][metric], name == "s2gr") for name in names], metric)
        yield f"<figure><figcaption>{metric_label(metric)}</figcaption>{chart}</figure>"
        best = {column: max(metrics[name + suffix][column] for name in names) for column in columns}
        rows = [
            row(
                label(name),
                [
                    cell(f"{metrics[name + suffix][column]:.4f}", metrics[name + suffix][column] == best[column])
                    for column in columns
                ],
                "ours" if name == "s2gr" else "",
            )
            for name in names
        ]
        yield table(["", *map(metric_label, columns)], rows)


def _significance(metrics: Metrics) -> Iterator[str]:
    found = metrics["significance"]
    yield "<h2>Is the difference real?</h2>"
    yield note(
        f"S²GR minus the baseline in {metric_label(found['metric'])}, with a 95 % interval: paired bootstrap over "
        f"users, {found['resamples']:,} resamples."
    )
    rows = [
        row(label(name), [cell(text) for suffix in FILTERS for text in _difference(found[f"s2gr_vs_{name}{suffix}"])])
        for name in _baselines(metrics)
    ]
    yield table(["against", *(text for told in FILTER_NAMES.values() for text in (told.lower(), ""))], rows)


def _slices(metrics: Metrics) -> Iterator[str]:
    metric, found = metrics["significance"]["metric"], metrics["slices"]
    shown = [name for name in _SERIES if name in metrics]
    yield "<h2>Where it is good, and where not</h2>"
    yield note(
        f"{metric_label(metric)} on parts of the users; the chart is over the whole catalogue, without parts of fewer "
        f"than {_FEW} users, whose rows are grey: too few to tell. Memorised: the step from the last item to the "
        "target occurred in training. Head, middle, tail: the target’s popularity, in thirds of the training events."
    )
    legend = "".join(
        f'<span><svg width="12" height="12"><circle class="series-{index}" cx="6" cy="6" r="5"/></svg> '
        f"{label(name)}</span>"
        for index, name in enumerate(shown)
    )
    yield f'<div class="legend">{legend}</div>'
    rows = [
        (
            _slice_name(name),
            [Dot(figures[system][metric], index, label(system)) for index, system in enumerate(shown)],
        )
        for name, figures in found.items()
        if figures["users"] >= _FEW
    ]
    if rows:
        yield f"<figure>{dots(rows, f'{metric} by slice')}</figure>"
    for suffix, told in FILTER_NAMES.items():
        yield f"<h3>{told}</h3>"
        yield table(
            ["", "users", *map(label, shown)],
            [
                row(
                    _slice_name(name),
                    [cell(f"{figures['users']:,}")]
                    + [
                        cell(f"{figures[system + suffix][metric]:.4f}" if figures["users"] else "–") for system in shown
                    ],
                    "few" if figures["users"] < _FEW else "",
                )
                for name, figures in found.items()
            ],
        )


def _beyond(metrics: Metrics) -> Iterator[str]:
    yield "<h2>What is recommended</h2>"
    k = metrics["significance"]["metric"].split("@")[1]
    notes = "; ".join(f"<b>{name}</b>: {told}" for name, told in _BEYOND.values())
    yield note(f"Of the first {k} items of every list. {notes}.")
    for suffix, told in FILTER_NAMES.items():
        rows = [
            row(
                label(name),
                [cell(f"{found[key]:,.3f}" if found else "–") for key in _BEYOND],
                "ours" if name == "s2gr" else "",
            )
            for name in _systems(metrics)
            for found in [metrics["beyond_accuracy"].get(name + suffix)]
        ]
        yield f"<h3>{told}</h3>"
        yield table(["", *(name for name, _ in _BEYOND.values())], rows)


def _network(metrics: Metrics) -> Iterator[str]:
    codes, thoughts = metrics["network"]["codes"], metrics["network"]["thoughts"]
    yield "<h2>What the network knows at each level</h2>"
    yield note(
        "Given the target’s true codes before: how often the most probable code is the true one (among the codes that "
        "some item continues with), and how often the thought’s most probable cluster holds it. ECE: expected "
        "calibration error, the mean gap between confidence and accuracy."
    )
    rows = []
    for level, found in codes.items():
        cells = [f"{found['accuracy']:.1%}", f"{found['calibration_error']:.3f}"]
        thought = thoughts.get(level)
        cells += [f"{thought['accuracy']:.1%}", f"{thought['calibration_error']:.3f}"] if thought else ["–", "–"]
        rows.append(row(level.replace("_", " "), [cell(text) for text in cells]))
    yield table(["", "code right", "ECE", "thought’s cluster right", "ECE"], rows)
    told, name = (thoughts, "thought") if thoughts else (codes, "code")
    pictures = "".join(
        f"<figure><figcaption>{name} of {level.replace('_', ' ')}</figcaption>"
        + reliability([(each["confidence"], each["accuracy"], each["cases"]) for each in found["reliability"]], level)
        + "</figure>"
        for level, found in told.items()
    )
    yield "<h3>Reliability</h3>"
    yield note(
        "How often it was right, against how sure it was; on the diagonal the two agree. Larger dots are more cases."
    )
    yield f'<div class="columns">{pictures}</div>'


def _controls(metrics: Metrics) -> Iterator[str]:
    found = metrics["interventions"]
    if not found:
        return
    yield "<h2>Do the thoughts matter?</h2>"
    yield note(
        f"{metric_label(found['metric'])} of {found['users']:,} users when the trained network’s thoughts are set to "
        "zero, shuffled among users one by one, or swapped for those of one other user. The verdict is about the "
        "untouched network: “better” means that the thoughts matter."
    )
    systems = {name: told for name, told in found.items() if isinstance(told, dict)}
    altered = [name for name in next(iter(systems.values())) if name != "untouched"]
    rows = []
    for name, told in systems.items():
        suffix = "_seen_filtered" if name.endswith("_seen_filtered") else ""
        told_name = f"{label(name.removesuffix(suffix))}{', unseen items' if suffix else ''}"
        cells = [f"{told['untouched']:.4f}"]
        for each in altered:
            verdict = _verdict(told[each]["untouched_is"]["verdict"])
            cells.append(f"{told[each][found['metric']]:.4f} {verdict}")
        rows.append(row(told_name, [cell(text) for text in cells]))
    yield table(["", "untouched", *altered], rows)


def _users(metrics: Metrics) -> Iterator[str]:
    if not metrics["examples"]:
        return
    yield "<h2>Real users</h2>"
    yield note(
        "Drawn at random: first users whose target was found, then users whose was not; items that they had met are "
        "left out. Thoughts are those on the way to the first recommendation: the clusters of codes that they hold "
        "most probable, named by the words that set their items apart; the cluster of what came next is marked."
    )
    for user in metrics["examples"]:
        place = f"ranked {user['place']}" if user["place"] else "not found"
        history = "".join(f"<li>{escape(title)}</li>" for title in user["history"])
        recommended = "".join(
            f"<li{' class=hit' if item['hit'] else ''}>{escape(item['title'])} <code>{item['sid']}</code></li>"
            for item in user["recommended"]
        )
        thoughts = "".join(
            f'<h4>thought {thought["level"]}</h4><div class="thought">'
            + "".join(
                f"<span{' class=hit' if cluster['of_target'] else ''}>{escape(cluster['name'])}</span>"
                f'<span class="p">{cluster["probability"]:.0%}</span>'
                for cluster in thought["clusters"]
            )
            + "</div>"
            for thought in user["thoughts"]
        )
        yield (
            f'<div class="user"><h3>User {escape(user["user"])}: next was “{escape(user["target"])}”, {place}</h3>'
            f"<div><h4>history, newest last</h4><ol>{history}</ol></div>"
            f"<div>{thoughts}</div><div><h4>recommended</h4><ol>{recommended}</ol></div></div>"
        )


def _protocol(metrics: Metrics) -> Iterator[str]:
    yield "<h2>Protocol</h2>"
    rows = [
        row(name.replace("_", " "), [f'<td class="text">{escape(_told(value))}</td>'])
        for name, value in metrics["protocol"].items()
    ]
    yield table(["", ""], rows)


def _systems(metrics: Metrics) -> list[str]:
    known = [name for name in SYSTEMS if name in metrics]
    others = [name for name in metrics if name.startswith("s2gr_width_") and not name.endswith("_seen_filtered")]
    return known[:2] + others + known[2:]


def _baselines(metrics: Metrics) -> list[str]:
    return [name for name in _systems(metrics) if not name.startswith("s2gr")]


def _difference(found: Mapping[str, Any]) -> tuple[str, str]:
    interval = f"{found['difference']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
    return interval.replace("-", "−"), _verdict(found["verdict"])


def _verdict(verdict: str) -> str:
    return f'<span class="{verdict}">{verdict}</span>' if verdict in _COLOURED else escape(verdict)


def _slice_name(name: str) -> str:
    return name.replace("history_from_", "history of at least ").replace("_", " ")


def _told(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
