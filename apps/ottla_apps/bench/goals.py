"""What a figure of ours is to be beside a peer's, and whether it is. Pure.

A goal is a factor of the peer's figure: "at least 1 times the megabytes a second", "at most 0.2 times the memory". What
is to be reached whoever else does is a peer, too, whose figures are fixed (`TARGET`). A report says so with every
figure that has a goal, so that nobody has to look for the ones that fall short.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

TARGET = "target"
"""The peer that nobody has to install."""


@dataclass(frozen=True)
class Goal:
    """The factor of the peer's figure that ours is to reach, or not to exceed."""

    factor: float
    at_least: bool

    def holds(self, ratio: float) -> bool:
        return ratio >= self.factor if self.at_least else ratio <= self.factor

    def __str__(self) -> str:
        return f"at {'least' if self.at_least else 'most'} {self.factor:g}"


def at_least(factor: float = 1.0) -> Goal:
    return Goal(factor, at_least=True)


def at_most(factor: float = 1.0) -> Goal:
    return Goal(factor, at_least=False)


@dataclass(frozen=True)
class Comparison:
    """One figure of ours beside a peer's: `ratio` is ours divided by `theirs`, `goal` what it is to be."""

    job: str
    figure: str
    peer: str
    theirs: float
    ratio: float
    goal: str
    holds: bool


def compare(
    job: str, ours: Mapping[str, float], peer: str, theirs: Mapping[str, float], goals: Mapping[str, Goal]
) -> Iterator[Comparison]:
    """Our figures that have a goal, each beside the peer's of the same name. A peer's zero cannot be compared with."""
    for figure, goal in goals.items():
        if figure in ours and theirs.get(figure):
            ratio = ours[figure] / theirs[figure]
            yield Comparison(job, figure, peer, theirs[figure], ratio, str(goal), goal.holds(ratio))
