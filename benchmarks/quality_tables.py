"""From the runs of benchmarks/quality.py to tables in Markdown: means over seeds, verdicts over users, budgets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.quality_records import Record
from benchmarks.relative_gain import relative_gain
from s2gr.evaluation.interventions import INTERVENTIONS
from s2gr.evaluation.ranking import FILTERS
from s2gr.evaluation.significance import Comparison, compare
from s2gr.metrics import Ranks, gains, hits

METRICS = ("R@5", "N@5", "R@10", "N@10")
FILTER_TITLES = {"": "Whole catalogue", "_seen_filtered": "Without items already seen"}
_RESAMPLES = 1000

_BESIDE_TITLES = {
    "popularity": "popularity",
    "item_knn": "item-kNN",
    "walk": "graph walk",
    "walk_undirected": "graph walk, undirected ±3",
    "walk_tuned": "graph walk, tuned on validation",
    "walk_undirected_tuned": "graph walk, undirected, tuned",
    "sasrec_walk": "SASRec + walk, mixed",
    "full_interest": "… its interest vector alone",
    "full_beam": "… its SID beam alone",
}
ORDER = (
    "popularity",
    "item_knn",
    "walk",
    "walk_undirected",
    "walk_tuned",
    "walk_undirected_tuned",
    "sasrec",
    "sasrec_walk",
    "tiger",
    "paper_no_thinking",
    "paper_pause",
    "paper_before",
    "paper",
    "full_no_thinking",
    "full",
    "full_interest",
    "full_beam",
)
COMPARISONS = (
    ("paper", "tiger"),
    ("paper", "paper_no_thinking"),
    ("paper", "paper_pause"),
    ("paper", "paper_before"),
    ("full_beam", "tiger"),
    ("full", "full_no_thinking"),
    ("full", "full_interest"),
    ("full", "walk_tuned"),
    ("full", "walk_undirected_tuned"),
    ("full", "sasrec"),
    ("full", "sasrec_walk"),
)

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Result:
    """One row of the tables, of one run."""

    row: str
    record: Record
    # Filter → float64 [users, metrics], in the order of the user ids.
    values: Mapping[str, Values]

    @property
    def is_own(self) -> bool:
        """Whether the row is the run's own system, not what it ranks beside that."""
        return self.row == self.record.system


def results(record: Record) -> list[Result]:
    """A row for all that the run has ranked."""
    return [
        Result(row, record, {suffix: _metrics(ranks) for suffix, ranks in filtered.items()})
        for row, filtered in record.ranks.items()
    ]


def _metrics(ranks: Ranks) -> Values:
    return np.stack([hits(ranks, 5), gains(ranks, 5), hits(ranks, 10), gains(ranks, 10)], axis=1)


class Table:
    """All results, by row and variant; the users of a variant are the same in every run."""

    def __init__(self, titles: Mapping[str, str], records: Iterable[Record]) -> None:
        self.titles = {**titles, **_BESIDE_TITLES}
        self._found: dict[tuple[str, str], list[Result]] = {}
        for record in records:
            for result in results(record):
                self._found.setdefault((record.variant, result.row), []).append(result)

    def name(self, row: str) -> str:
        """What stands for the row where there is none above it that it belongs to."""
        return self.titles[row].replace("… its", "the full form's")

    def rows(self, variant: str) -> list[str]:
        return [row for row in ORDER if (variant, row) in self._found]

    def of(self, row: str, variant: str = "") -> list[Result]:
        return self._found[variant, row]

    def seeds(self, row: str, suffix: str, variant: str = "") -> Values:
        """Mean over users for each seed: ``[seeds, metrics]``."""
        return np.stack([result.values[suffix].mean(axis=0) for result in self.of(row, variant)])

    def paired(self, first: str, second: str, suffix: str) -> tuple[Values, Values]:
        """Of two rows, over the seeds that both have: ``[seeds, users, metrics]`` each."""
        ours, others = ({found.record.seed: found.values[suffix] for found in self.of(row)} for row in (first, second))
        seeds = sorted(ours.keys() & others.keys())
        return np.stack([ours[seed] for seed in seeds]), np.stack([others[seed] for seed in seeds])


def markdown(label: str, table: Table, trials: Mapping[str, int], records: Sequence[Record]) -> str:
    """Everything, as it stands in docs/results.md."""
    commits, machines, dates = (
        ", ".join(dict.fromkeys(getattr(record, name) for record in records)) for name in ("commit", "machine", "date")
    )
    parts = [
        f"{_size(table)}, commit {commits}, {machines}, {dates}. "
        f"Written by `python -m benchmarks.quality` for `{label}`."
    ]
    for suffix, title in FILTER_TITLES.items():
        parts += [f"**{title}**", _rankings(table, suffix, "")]
    parts += ["**Better or chance?** Differences of per-user means over the seeds; paired bootstrap over users, which "
              "says what other users would change, with these trained models; in how many seeds the difference has the "
              "same sign says what another seed might.",
              _verdicts(table)]  # fmt: skip
    control = records[0].params["evaluation"]["control_users"]
    parts += ["**Do the thoughts matter?** NDCG@10 with the trained model's thoughts altered at test time, for at most "
              f"{control:,} of the users, each seed tested by itself.",
              _interventions(table)]  # fmt: skip
    parts += ["**Budget** of one seed.", _budgets(table, trials)]
    for variant in ("shuffled ties", "temporal split"):
        if table.rows(variant):
            for suffix, title in FILTER_TITLES.items():
                told = f"**With {variant}**, {title[0].lower()}{title[1:]}: {_size(table, variant)}"
                parts += [told, _rankings(table, suffix, variant)]
    return "\n\n".join(parts)


def _size(table: Table, variant: str = "") -> str:
    """What is behind the tables of a variant of the protocol."""
    found = [table.of(row, variant) for row in table.rows(variant)]
    seeds = max(map(len, found))
    return f"{found[0][0].record.users:,} users, {f'{seeds} seeds (mean ± sd)' if seeds > 1 else '1 seed'}"


def _rankings(table: Table, suffix: str, variant: str) -> str:
    best = np.max([table.seeds(row, suffix, variant).mean(axis=0) for row in table.rows(variant)], axis=0)
    lines, most = [], max(len(table.of(row, variant)) for row in table.rows(variant))
    for row in table.rows(variant):
        values = table.seeds(row, suffix, variant)
        cells = [
            _bold(_spread(column), bool(column.mean() == highest))
            for column, highest in zip(values.T, best, strict=True)
        ]
        fewer = f" ({len(values)} of {most} seeds)" if len(values) < most else ""
        lines.append([table.titles[row] + fewer, *cells])
    return _markdown(["", *METRICS], lines)


def _verdicts(table: Table) -> str:
    lines = []
    for first, second in COMPARISONS:
        if not {first, second} <= set(table.rows("")):
            continue
        cells = [f"{table.name(first)} against {table.name(second)}"]
        for suffix in FILTERS:
            seeds_a, seeds_b = table.paired(first, second, suffix)
            a, b = seeds_a.mean(axis=0), seeds_b.mean(axis=0)
            generator = np.random.default_rng(0)
            cells += [_gain(relative_gain(a, b, _RESAMPLES, generator))]
            found = compare(a[:, 3], b[:, 3], _RESAMPLES, generator)
            alike = _same_sign(seeds_a, seeds_b)
            interval = f"{found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
            cells += [f"{interval}, *{found.verdict}*, {alike} of {len(seeds_a)} seeds"]
        lines.append(cells)
    header = ["", "mean relative gain of the four metrics", "NDCG@10", "the same without seen items", "NDCG@10"]
    return _markdown(header, lines)


def _same_sign(ours: Values, others: Values) -> int:
    """In how many seeds the difference of NDCG@10 has the sign of the mean difference."""
    differences = (ours - others)[:, :, 3].mean(axis=1)
    return int((np.sign(differences) == np.sign(differences.mean())).sum())


def _interventions(table: Table) -> str:
    lines = []
    for row in table.rows(""):
        told = [result.record.interventions for result in table.of(row) if result.is_own]
        for ranking, suffix in product(("s2gr", "s2gr_beam"), FILTERS):
            seeds = [found[ranking + suffix] for found in told if found and ranking + suffix in found]
            if not seeds:
                continue
            title = table.titles[row] + (", SID beam alone" if ranking == "s2gr_beam" else "")
            title += ", without seen items" if suffix else ""
            cells = [f"{mean(found['untouched'] for found in seeds):.4f}"]
            for intervention in INTERVENTIONS:
                altered = mean(found[intervention]["ndcg@10"] for found in seeds)
                worse = sum(found[intervention]["untouched_is"]["verdict"] == "better" for found in seeds)
                cells.append(f"{altered:.4f} (worse in {worse} of {len(seeds)} seeds)")
            lines.append([title, *cells])
    return _markdown(["", "untouched", *INTERVENTIONS], lines)


def _budgets(table: Table, trials: Mapping[str, int]) -> str:
    lines = []
    for row in table.rows(""):
        told = [result.record.budget for result in table.of(row) if result.is_own]
        if told:
            flops = [budget["mflops"] for budget in told if "mflops" in budget]
            lines.append(
                [
                    table.titles[row],
                    f"{told[0]['parameters'] / 1e6:.2f} M",
                    f"{mean(budget['minutes'] for budget in told):.1f}",
                    f"{mean(flops):,.{0 if mean(flops) >= 10 else 1}f}" if flops else "",
                    str(trials.get(row, 0)),
                ]
            )
    return _markdown(
        ["", "parameters", "CPU minutes of training", "MFLOP per user", "configurations tried, on Beauty"], lines
    )


def rows(records: Iterable[Record]) -> list[dict[str, Any]]:
    """A row for each result and filter, as JSON."""
    return [
        {
            "name": f"{result.row}{suffix}",
            "seed": record.seed,
            "variant": record.variant,
            "users": record.users,
            **{
                name: round(float(value), 6)
                for name, value in zip(METRICS, result.values[suffix].mean(axis=0), strict=True)
            },
            "budget": record.budget if result.is_own else None,
            "fusion": record.fusion if result.is_own else None,
        }
        for record in records
        for result in results(record)
        for suffix in FILTERS
    ]


def replace_block(path: Path, label: str, text: str) -> None:
    """Put ``text`` between the marks of ``label`` in a Markdown file; at its end, where there are none yet."""
    begin, end = f"<!-- quality:{label} -->", f"<!-- end of quality:{label} -->"
    block = f"{begin}\n{text}\n{end}"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if begin in old and end in old:
        before, rest = old.split(begin, 1)
        new = before + block + rest.split(end, 1)[1]
    else:
        new = f"{old.rstrip()}\n\n{block}\n".lstrip()
    path.write_text(new, encoding="utf-8")


def _spread(values: Values) -> str:
    told = f"{values.mean():.4f}".removeprefix("0")
    deviation = stdev(values) if len(values) > 1 else 0.0
    # The baselines are the same for every seed, but for rounding.
    return told + (f" ± {deviation:.4f}".replace("0.", ".", 1) if deviation >= 0.00005 else "")


def _gain(found: Comparison) -> str:
    return f"{found.difference:+.1%} [{found.low:+.1%}, {found.high:+.1%}]"


def _bold(text: str, yes: bool) -> str:
    return f"**{text}**" if yes else text


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *lines))
