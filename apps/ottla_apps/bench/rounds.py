"""How a figure is taken: every contender warms up, then all take turns, and the median of the rounds counts.

Turns alternate so that a machine that slows down slows everyone down. The first round is thrown away because the
first touch of memory and page cache costs several times a later one.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Measurement = Mapping[str, float]
Measure = Callable[[], Measurement]
Results = dict[str, Measurement]


@dataclass(frozen=True)
class Turn:
    """One contender about to be measured; `number` 0 is the warm-up."""

    contender: str
    number: int
    rounds: int

    def __str__(self) -> str:
        return f"{self.contender}: {f'round {self.number} of {self.rounds}' if self.number else 'warm-up'}"


def alternate(
    contenders: Mapping[str, Measure], rounds: int, announce: Callable[[Turn], None], *, warm_up: bool = True
) -> Results:
    """Measures all contenders in turn, `rounds` times after a warm-up; returns each one's median of every figure.

    `announce` is called before each turn. What a contender raises ends the measurement: a figure that was not taken
    is no figure.
    """
    taken: dict[str, list[Measurement]] = {name: [] for name in contenders}
    for turn in _turns(contenders, rounds, warm_up):
        announce(turn)
        measurement = contenders[turn.contender]()
        if turn.number:
            taken[turn.contender].append(measurement)
    return {name: medians(measurements) for name, measurements in taken.items()}


def medians(measurements: list[Measurement]) -> Measurement:
    """The median of each figure over measurements that carry the same figures."""
    return {figure: statistics.median(m[figure] for m in measurements) for figure in measurements[0]}


def _turns(contenders: Mapping[str, Measure], rounds: int, warm_up: bool) -> Iterator[Turn]:
    for number in range(0 if warm_up else 1, rounds + 1):
        for contender in contenders:
            yield Turn(contender, number, rounds)
