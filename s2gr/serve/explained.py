"""Recommendations and why, for one history: as data, as a tree in the terminal, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from s2gr.publish.names import Names
from s2gr.reasoner.recommender import IntArray, Item, Recommender
from s2gr.serve.explain import Cluster, Explanation, Step, explain, named, of_choices
from s2gr.serve.faithfulness import Faithfulness, faithfulness
from s2gr.serve.recommend import Wish, history_table, item_lists, known_history, shown_sid

_NAMES = "reports/names.json"
# Items of history that the terminal shows for each recommendation, those with the most attention.
_SHOWN = 3


@dataclass(frozen=True)
class Explained:
    version: str
    # None if a history was given.
    user: str | None
    # What the model has read, oldest first.
    history: list[Item]
    # Best first.
    items: list[Explanation]
    faithfulness: Faithfulness


class Explainer:
    """Explains what the recommender of a bundle recommends.

    Args:
        bundle: the folder that ``recommender`` was loaded from.
    """

    def __init__(self, recommender: Recommender, bundle: Path) -> None:
        self.recommender, self.names = recommender, Names.read(bundle / _NAMES)
        self.faithfulness = faithfulness(bundle)

    def explain(self, wish: Wish, events: Path) -> Explained:
        """What is recommended and why. Raises: UserError: as ``serve.recommend.recommend``."""
        recommender = self.recommender
        history, _ = known_history(recommender, events, wish)
        allow, deny = item_lists(recommender, wish)
        exclude = recommender.hidden(allow, [*deny, *(history if wish.exclude_seen else ())])
        rows = np.array([recommender.row_of[item_id] for item_id in history])
        return self.of_rows(rows, wish.k, exclude, wish.user)

    def of_rows(self, history: IntArray, k: int, exclude: IntArray, user: str | None = None) -> Explained:
        """The same for rows of the catalogue, oldest first, without the rows ``exclude``."""
        recommender = self.recommender
        items = explain(recommender, self.names, history, k, exclude)
        read = [recommender.item(int(row)) for row in history[-recommender.model.params.history :]]
        return Explained(recommender.version, user, read, items, self.faithfulness)


def as_json(explained: Explained) -> str:
    return json.dumps(asdict(explained), ensure_ascii=False, indent=2)


def print_explained(explained: Explained, console: Console) -> None:
    """A tree per item: sources, the path, what was read."""
    console.print(history_table(explained.user, explained.history[-5:]))
    for place, each in enumerate(explained.items, start=1):
        root = Tree(Text.assemble((f"{place}. {each.title}", "bold"), f"  {each.item_id}  {shown_sid(each.sid)}"))
        root.add(Text(f"score {each.score:.4f} = {_sources(each)}"))
        branch = root
        for step in each.steps:
            branch = branch.add(Text(_step(step)))
            for line in _clusters(step):
                branch.add(line)
        root.add(Text(f"read: {_read(explained, each)}"))
        console.print(root)
    console.print()
    for sentence in explained.faithfulness.sentences:
        console.print(Text(sentence, style="dim"))


def _sources(each: Explanation) -> str:
    total = sum(source.contribution for source in each.sources) or 1.0
    return " + ".join(f"{source.name} {source.contribution / total:.0%}" for source in each.sources)


def _step(step: Step) -> str:
    name = f" ({step.name})" if step.name else ""
    return f"code {step.code}{name}, {step.probability:.1%} of {of_choices(step.choices)}"


def _clusters(step: Step) -> Iterator[Text]:
    for cluster in step.thought:
        yield Text(_cluster(cluster), style="green" if cluster.chosen else "dim")


def _cluster(cluster: Cluster) -> str:
    told = f"thought {cluster.probability:.0%}: {named(cluster)}"
    if cluster.chosen:
        return f"{told}  ← its own"
    led = "; ".join(found.title for found in cluster.leads_to)
    return f"{told}  → {led}" if led else told


def _read(explained: Explained, each: Explanation) -> str:
    most = sorted(range(len(explained.history)), key=lambda place: -each.attention[place])[:_SHOWN]
    return "; ".join(
        f"{explained.history[place].title} (attention {each.attention[place]:.0%}"
        + (f", without it {-each.without[place]:+.0%})" if each.without else ")")
        for place in most
    )
