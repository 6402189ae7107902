"""Bundles that differ, of the same artefacts."""

from __future__ import annotations

from collections.abc import Callable

from s2gr.params import Params

MadeWith = Callable[..., Params]


def other(made_with: MadeWith, number: int, keep: int = 5) -> Params:
    """Parameters that make another bundle of the same artefacts."""
    return made_with(evaluation={"bootstrap": 100 + number}, publish={"keep": keep})
