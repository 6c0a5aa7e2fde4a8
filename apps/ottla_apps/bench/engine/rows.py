"""What is measured, by name, and by whom. A row's name is what `--only` looks for."""

from functools import partial

from ottla_apps.bench.engine import latency, state
from ottla_apps.bench.engine.jobs import JOBS, Peers, contenders
from ottla_apps.bench.rounds import Measure

Row = dict[str, Measure]
"""By contender."""


def names() -> list[str]:
    """All rows, in the order in which they are measured and reported."""
    return [*JOBS, f"latency at {latency.PER_SECOND:,}/s", f"{state.KEYS:,} keys"]


def choose(wanted: list[str] | None) -> list[str]:
    """The rows whose names contain one of `wanted`, whatever the case; all of them if nothing is."""
    return [name for name in names() if not wanted or any(part.lower() in name.lower() for part in wanted)]


def row(name: str, address: str, events: int, seconds: float, peers: Peers | None) -> Row:
    """The contenders of one row, on the broker at `address`, whose topics `topics.load` has filled."""
    if name in JOBS:
        return contenders(name, address, events, seconds, peers)
    if name.startswith("latency"):
        return {
            "ottla exactly once": partial(latency.measure, address, "exactly_once", seconds),
            "ottla at least once": partial(latency.measure, address, "at_least_once", seconds),
        }
    return {"ottla exactly once": partial(state.measure, address, state.KEYS)}
