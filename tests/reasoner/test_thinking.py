"""The decoder's input, written out for each way of thinking."""

import pytest

from s2gr.errors import UserError
from s2gr.params import Params, Reasoner, load_params
from s2gr.reasoner.thinking import Kind, Pass, schedule

SIGN = {Kind.START: "BOS", Kind.CODE: "s", Kind.PAUSE: "p", Kind.THOUGHT: "t"}


def written(passes: list[Pass]) -> str:
    """Passes as the module's docstring writes them, ``*`` behind a place that predicts a code."""
    tokens = [
        [
            SIGN[place.kind] + ("" if place.kind is Kind.START else str(place.index + 1)) + "*" * place.predicts
            for place in places
        ]
        for places in passes
    ]
    return " | ".join(" ".join(own) for own in tokens)


@pytest.mark.parametrize(
    ("thinking", "steps", "expected"),
    [
        ("none", [1, 1, 1], "BOS* s1* s2*"),
        ("stepwise", [1, 1, 1], "BOS | t1* s1 | t2* s2 | t3*"),
        ("stepwise", [2, 1, 0], "BOS | t1 | t2* s1 | t3* s2*"),
        ("stepwise", [0, 0, 2], "BOS* s1* s2 | t1 | t2*"),
        ("pause", [1, 1, 1], "BOS p1* s1 p2* s2 p3*"),
        ("pause", [0, 3, 0], "BOS* s1 p1 p2 p3* s2*"),
        ("before", [1, 1, 1], "BOS | t1 | t2 | t3* s1* s2*"),
        ("before", [0, 2, 0], "BOS | t1 | t2* s1* s2*"),
    ],
)
def test_training_takes_a_pass_per_thought_and_no_more(thinking: str, steps: list[int], expected: str) -> None:
    assert written(schedule(Reasoner(thinking=thinking, steps=steps), 3).training()) == expected


def test_decoding_cuts_before_every_code_too() -> None:
    found = [written(schedule(Reasoner(), 3).decoding(level)) for level in range(3)]
    assert found == ["BOS | t1*", "s1 | t2*", "s2 | t3*"]
    paused = [written(schedule(Reasoner(thinking="pause", steps=[2, 0, 1]), 3).decoding(level)) for level in range(3)]
    assert paused == ["BOS p1 p2*", "s1*", "s2 p3*"]


def test_the_last_thought_of_a_level_is_aligned_and_a_pause_never() -> None:
    assert schedule(Reasoner(steps=[3, 0, 2]), 3).aligned == {0: 2, 2: 4}
    assert schedule(Reasoner(thinking="before", steps=[3, 0, 2]), 3).aligned == {0: 2, 2: 4}
    assert schedule(Reasoner(thinking="pause", steps=[3, 0, 2]), 3).aligned == {}


def test_without_thinking_steps_do_not_matter() -> None:
    params = Params.model_validate({"codebook": {"levels": 4}, "reasoner": {"thinking": "none"}})
    assert schedule(params.reasoner, 4).extra == 0


def test_steps_must_fit_the_levels() -> None:
    with pytest.raises(UserError, match=r"each of the 4 codebook.levels, found \[1, 1, 1\]"):
        load_params([], ["codebook.levels=4"])
    with pytest.raises(UserError, match="set `thinking: none`"):
        load_params([], ["reasoner.steps=[0, 0, 0]"])
