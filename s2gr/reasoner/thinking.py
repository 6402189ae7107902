"""What the decoder reads before it predicts each code: the one description that training and decoding follow.

For L = 3 and one thought per level, with ``|`` before what depends on the output at the position before it:

    none      BOS s1 s2                                   (TIGER)
    stepwise  BOS | t1 s1 | t2 s2 | t3                    (S²GR)
    pause     BOS p1 s1 p2 s2 p3                          (the control: as many positions, nothing fed back)
    before    BOS | t1 | t2 | t3 s1 s2                    (all thoughts before the first code)

The output at the last position before a code predicts it. In training the codes are known, so only a thought starts a
new pass of the decoder; in decoding a code does too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from s2gr.params import Reasoner


class Kind(Enum):
    START = "BOS"
    CODE = "the embedding of a code that is known by then"
    PAUSE = "a learned vector"
    THOUGHT = "the output at the position before, plus a learned vector"


@dataclass(frozen=True)
class Place:
    """One position of the decoder's input."""

    kind: Kind
    # Of a code: its level. Of a thought or pause: its row in the table of learned vectors.
    index: int = 0
    # Whether the output here predicts the next code.
    predicts: bool = False


Pass = tuple[Place, ...]


@dataclass(frozen=True)
class Schedule:
    """The decoder's input.

    Args:
        segments: for each level, what stands before its code and behind the place that predicted the code before.
        aligned: the levels that have thoughts, and for each the index of its last one, which must know the cluster of
            the code to come.
    """

    segments: tuple[Pass, ...]
    aligned: dict[int, int]

    @property
    def extra(self) -> int:
        """How many thoughts or pauses there are."""
        return sum(place.kind in (Kind.PAUSE, Kind.THOUGHT) for segment in self.segments for place in segment)

    @property
    def feeds_back(self) -> bool:
        """Whether there are thoughts, not merely pauses."""
        return bool(self.aligned)

    def decoding(self, level: int) -> list[Pass]:
        """The passes between the choice of the code before ``level`` and the prediction of this one."""
        return _passes(self.segments[level])

    def training(self) -> list[Pass]:
        """The fewest passes that teacher forcing can do with."""
        return _passes([place for segment in self.segments for place in segment])


def schedule(params: Reasoner, levels: int) -> Schedule:
    """What ``params.thinking`` and ``params.steps`` ask for."""
    steps = [0] * levels if params.thinking == "none" else params.steps
    kind = Kind.PAUSE if params.thinking == "pause" else Kind.THOUGHT
    ends = [sum(steps[: level + 1]) for level in range(levels)]
    own = [[Place(kind, row) for row in range(end - count, end)] for end, count in zip(ends, steps, strict=True)]
    if params.thinking == "before":
        own = [[place for places in own for place in places], *([] for _ in range(levels - 1))]
    first = [Place(Kind.START), *(Place(Kind.CODE, level) for level in range(levels - 1))]
    whole = [[before, *places] for before, places in zip(first, own, strict=True)]
    segments = tuple((*places[:-1], replace(places[-1], predicts=True)) for places in whole)
    thinks = kind is Kind.THOUGHT
    return Schedule(segments, {level: end - 1 for level, end in enumerate(ends) if steps[level] and thinks})


def _passes(places: Sequence[Place]) -> list[Pass]:
    """Cut before every thought: it needs the output of what stands before it."""
    cuts = [index for index, place in enumerate(places) if place.kind is Kind.THOUGHT and index]
    return [tuple(places[start:end]) for start, end in zip([0, *cuts], [*cuts, len(places)], strict=True)]
