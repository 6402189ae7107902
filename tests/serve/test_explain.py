"""Explanations against what they claim: scores, probabilities and effects are computed again another way."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from s2gr.publish.names import Names
from s2gr.reasoner.decoding import item_log_probabilities
from s2gr.reasoner.recommender import Recommender
from s2gr.serve import path as paths
from s2gr.serve.explain import Explanation, explain
from s2gr.serve.faithfulness import faithfulness
from s2gr.workspace import Workspace, read_json, write_json
from tests.evaluation.small import untrained, write_log

HISTORY = np.array([3, 1, 4, 1, 5])
NOTHING = np.array([], dtype=np.int64)
# Ways of thinking, and of ranking.
KINDS: dict[str, dict[str, Any]] = {
    "stepwise": {},
    "front-loaded": {"steps": [2, 1, 0]},
    "before": {"thinking": "before"},
    "pause": {"thinking": "pause"},
    "none": {"thinking": "none"},
    "beam": {"ranking": "beam", "interest_weight": 0.0, "distillation": 0.0},
}


@pytest.fixture(params=KINDS)
def recommender(request: pytest.FixtureRequest, tmp_path: Path) -> Recommender:
    log = {f"u{user}": [f"i{(user * 3 + step * step) % 20:02}" for step in range(8)] for user in range(12)}
    log["all"] = [f"i{item:02}" for item in range(20)]
    return untrained(write_log(tmp_path, log), **KINDS[request.param]).frozen()


def explained(recommender: Recommender, k: int = 4, exclude: np.ndarray = NOTHING) -> list[Explanation]:
    return explain(recommender, Names({}, {}), HISTORY, k, exclude)


def exact(recommender: Recommender, history: np.ndarray = HISTORY) -> torch.Tensor:
    """The decoder's log-probability of every item."""
    memory = recommender.encode(history[None], np.array([len(history)]))
    every = torch.arange(len(recommender.item_ids))[None]
    return item_log_probabilities(recommender.model, memory, recommender.constraint, every)[0]


@pytest.mark.parametrize("exclude", [NOTHING, HISTORY, np.array([0])])
def test_items_and_scores_are_those_of_the_ranking_and_sources_sum_to_them(
    recommender: Recommender, exclude: np.ndarray
) -> None:
    ranked = recommender.rank(HISTORY[None], np.array([len(HISTORY)]), 4, 20, [exclude])
    found = explained(recommender, exclude=exclude)
    assert [recommender.row_of[each.item_id] for each in found] == ranked.items[0].tolist()
    for each in found:
        total = sum(source.contribution for source in each.sources)
        score = np.exp(each.score) if recommender.model.params.ranking == "beam" else each.score
        assert total == pytest.approx(score, rel=1e-5)


def test_the_steps_multiply_to_the_exact_probability(recommender: Recommender) -> None:
    probabilities = exact(recommender).exp()
    for each in explained(recommender):
        steps = [step.probability for step in each.steps]
        assert each.probability == pytest.approx(float(probabilities[recommender.row_of[each.item_id]]), rel=1e-4)
        assert each.probability == pytest.approx(np.prod(steps), rel=1e-4)
        assert [step.code for step in each.steps] == list(each.sid)
        for step in each.steps:
            before = recommender.sids.codes[:, : step.level - 1] == each.sid[: step.level - 1]
            assert step.choices == len(np.unique(recommender.sids.codes[before.all(1)][:, step.level - 1]))


def test_each_runner_up_leads_to_the_best_items_behind_it(recommender: Recommender) -> None:
    probabilities, codes = exact(recommender).exp(), recommender.sids.codes
    cluster, seen = recommender.model.cluster.numpy(), 0
    for each in explained(recommender, exclude=HISTORY):
        for step in each.steps:
            level = step.level - 1
            assert sum(told.chosen for told in step.thought) == bool(step.thought)
            shares = [told.probability for told in step.thought]
            assert shares == sorted(shares, reverse=True)
            for told in step.thought:
                behind = (codes[:, :level] == each.sid[:level]).all(1) & (
                    cluster[level][codes[:, level]] == told.cluster
                )
                assert told.items == behind.sum()
                assert told.chosen == (cluster[level][each.sid[level]] == told.cluster)
                if not told.chosen:
                    rows = [row for row in np.flatnonzero(behind) if row not in HISTORY]
                    best = sorted(rows, key=lambda row: -float(probabilities[row]))[: paths.LED_TO]
                    assert [recommender.row_of[item.item_id] for item in told.leads_to] == best
                    assert [item.probability for item in told.leads_to] == pytest.approx(
                        [float(probabilities[row]) for row in best], rel=1e-4
                    )
                    seen += len(best)
    thinks = recommender.model.schedule.feeds_back
    assert (seen > 0) == thinks


def test_attention_is_what_the_decoder_mixed_its_history_by(recommender: Recommender) -> None:
    outputs: list[torch.Tensor] = []
    values: list[torch.Tensor] = []
    hooks = [
        layer.cross_attention.register_forward_hook(
            lambda attention, given, output: (outputs.append(output), values.append(given[1].value))[0]
        )
        for layer in recommender.model.decoder.layers
    ]
    items = torch.arange(6)
    memory = recommender.encode(HISTORY[None], np.array([len(HISTORY)]))
    with torch.no_grad(), paths._recorded_attention(recommender.model) as weights:
        recommender.model.decode(memory.widened(6), items[None])
    for hook in hooks:
        hook.remove()
    layers = list(recommender.model.decoder.layers)
    assert len(weights) == len(outputs) == len(layers) * len(recommender.model.schedule.training())
    for index, (each, value, output) in enumerate(zip(weights, values, outputs, strict=True)):
        mixed = (each @ value).transpose(1, 2).flatten(2)
        torch.testing.assert_close(layers[index % len(layers)].cross_attention.output(mixed), output)
    path = paths.follow(recommender, memory, items)
    for attention in path.attention:
        torch.testing.assert_close(attention.sum(1), torch.ones(6))


def test_the_effect_of_an_item_is_the_share_of_the_score_that_goes_with_it(recommender: Recommender) -> None:
    weights = recommender.fusion.everything

    def score(history: np.ndarray, row: int) -> float:
        sid = float(exact(recommender, history)[row].exp())
        if recommender.model.params.ranking == "beam":
            return sid
        user = (history[None], np.array([len(history)]))
        walks = recommender.walk_scores(*user)
        with torch.no_grad():
            interest = recommender.model.interest(recommender.encode(*user))[:, 0]
            said = recommender.model.interest_logits(interest).softmax(-1)[0, row]
        shares = [walk[0, row] / walk[0].sum() for walk in (walks.directed, walks.undirected)]
        return (
            weights.sid * sid
            + weights.interest * float(said)
            + weights.walk * shares[0]
            + weights.walk_undirected * shares[1]
        )

    for each in explained(recommender):
        row = recommender.row_of[each.item_id]
        whole = score(HISTORY, row)
        lost = [1 - score(np.delete(HISTORY, place), row) / whole for place in range(len(HISTORY))]
        assert each.without == pytest.approx(lost, abs=1e-3)


def test_a_history_of_one_item_has_no_effects(recommender: Recommender) -> None:
    (found,) = explain(recommender, Names({}, {}), HISTORY[:1], 1, NOTHING)
    assert found.without is None
    assert found.attention == [1.0]


def test_nothing_allowed_explains_nothing(recommender: Recommender) -> None:
    assert explained(recommender, exclude=np.arange(20)) == []


def ask(workspace: Workspace, *arguments: str) -> Result:
    from s2gr.cli import app

    return CliRunner().invoke(app, ["explain", "--workdir", str(workspace.root), *arguments])


def test_the_command_tells_what_recommend_says_and_why(served: Workspace) -> None:
    told = json.loads(ask(served, "--user", "u07", "-k", "3", "--json").stdout)
    recommender = Recommender.load(served.published / "current")
    history = [item["item_id"] for item in told["history"]]
    assert len(history) == recommender.model.params.history
    assert [len(item["attention"]) for item in told["items"]] == [len(history)] * 3
    names = Names.read(served.published / "current/reports/names.json")
    first = told["items"][0]
    assert first["steps"][0]["name"] == names.code(first["sid"][:1])
    shown = ask(served, "--user", "u07", "-k", "3").stdout
    for item in told["items"]:
        assert item["title"] in shown
    assert "thought" in shown
    assert "← its own" in shown


class _Page(HTMLParser):
    """Every tag that is opened is closed, and nothing is fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        assert not {name for name, _ in attrs} & {"src", "href", "onclick"}
        if tag not in {"meta", "rect", "path"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"rect", "path"}:
            assert self.open.pop() == tag


def test_the_page_holds_the_trees_and_needs_nothing_else(served: Workspace, tmp_path: Path) -> None:
    page = tmp_path / "new/folder/out.html"
    assert ask(served, "--user", "u07", "--html", str(page)).stdout == f"wrote {page}\n"
    text = page.read_text(encoding="utf-8")
    _Page(text)
    assert "http" not in text
    assert "url(" not in text
    assert text.count("<svg") == 5
    assert "How far to trust this" in text
    assert "prefers-color-scheme: dark" in text


def test_a_page_that_can_not_be_written_is_one_line(served: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = ask(served, "--user", "u07", "--html", str(tmp_path / "file/out.html"))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: --html {tmp_path}/file/out.html: can't be written (")


def test_titles_do_not_become_markup(served: Workspace, tmp_path: Path) -> None:
    from s2gr.serve.explain_page import render
    from s2gr.serve.explained import Explainer
    from s2gr.serve.recommend import Wish

    folder = served.published / "current"
    recommender = Recommender.load(folder)
    recommender.titles = [f"<b>{title}</b> & [red]" for title in recommender.titles]
    text = render(Explainer(recommender, folder).explain(Wish(None, ["i03,i04"]), served.events))
    _Page(text)
    assert "<b>Thing" not in text


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ({"s2gr": "better", "s2gr_beam": "better"}, "they are part of how it comes about"),
        ({"s2gr": "can't tell", "s2gr_beam": "better"}, "how the decoder decides, not why the list is as it is"),
        ({"s2gr": "can't tell", "s2gr_beam": "can't tell"}, "not as why it chose"),
        ({}, "was not measured for this model"),
    ],
)
def test_the_page_says_how_far_to_trust_it(served: Workspace, verdicts: dict[str, str], expected: str) -> None:
    folder = (served.published / "current").resolve()
    report = read_json(Workspace(folder).report("evaluation"))
    change = {"ndcg@10": 0.1, "untouched_is": {}}
    report["interventions"] = verdicts and {
        "users": 20,
        "metric": "ndcg@10",
        # The list that is explained is one without seen items: what holds with them says nothing of it.
        **{name: {"untouched": 0.3, "zeroed": {**change, "untouched_is": {"verdict": "worse"}}} for name in verdicts},
        **{
            f"{name}_seen_filtered": {"untouched": 0.2, "zeroed": {**change, "untouched_is": {"verdict": verdict}}}
            for name, verdict in verdicts.items()
        },
    }
    write_json(report, Workspace(folder).report("evaluation"))
    found = faithfulness(folder)
    assert expected in found.sentences[0]
    assert not any("0.3" in sentence for sentence in found.sentences)
    assert re.search(r"\d+% on level 1", found.sentences[-1])
