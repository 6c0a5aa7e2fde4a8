"""What is measured, by name, and by whom. A row's name is what `--only` looks for."""

from collections.abc import Iterator
from functools import partial

from ottla_apps.bench.engine import latency, state
from ottla_apps.bench.engine.jobs import AT_LEAST_ONCE, EXACTLY_ONCE, JOBS, Peers, contenders
from ottla_apps.bench.goals import TARGET, Comparison, Goal, at_least, at_most, compare
from ottla_apps.bench.rounds import Measure, Measurement, Results

Row = dict[str, Measure]
"""By contender."""

LATENCY = f"latency at {latency.PER_SECOND:,}/s"
STATE = f"{state.KEYS:,} keys"

TARGETS: dict[str, tuple[str, Measurement]] = {
    "agent": (EXACTLY_ONCE, {"events_per_s": 500_000}),
    "produce": (EXACTLY_ONCE, {"events_per_s": 250_000}),
    "windowed": (EXACTLY_ONCE, {"events_per_s": 200_000}),
    "join": (EXACTLY_ONCE, {"events_per_s": 200_000}),
    LATENCY: (AT_LEAST_ONCE, {"p99_ms": 10.0}),
    STATE: (
        EXACTLY_ONCE,
        {"restore_records_per_s": 500_000, "fill_resident_mb": 300.0, "restore_resident_mb": 300.0},
    ),
}
"""By row: who is to reach which figures."""

GOALS: dict[str, Goal] = {
    "events_per_s": at_least(),
    "p99_ms": at_most(),
    "restore_records_per_s": at_least(),
    "fill_resident_mb": at_most(),
    "restore_resident_mb": at_most(),
}
"""By figure: what ours is to be beside the target and beside a peer's."""


def names() -> list[str]:
    """All rows, in the order in which they are measured and reported."""
    return [*JOBS, LATENCY, STATE]


def choose(wanted: list[str] | None) -> list[str]:
    """The rows whose names contain one of `wanted`, whatever the case; all of them if nothing is."""
    return [name for name in names() if not wanted or any(part.lower() in name.lower() for part in wanted)]


def row(name: str, address: str, events: int, seconds: float, peers: Peers | None) -> Row:
    """The contenders of one row, on the broker at `address`, whose topics `topics.load` has filled."""
    if name in JOBS:
        return contenders(name, address, events, seconds, peers)
    if name == LATENCY:
        return {
            EXACTLY_ONCE: partial(latency.measure, address, "exactly_once", seconds),
            AT_LEAST_ONCE: partial(latency.measure, address, "at_least_once", seconds),
        }
    return {EXACTLY_ONCE: partial(state.measure, address, state.KEYS)}


def held(name: str, taken: Results) -> Iterator[Comparison]:
    """What was measured in a row, by contender, beside the row's target and the peers."""
    contender, target = TARGETS.get(name, (EXACTLY_ONCE, {}))
    ours = taken[contender]
    yield from compare(name, ours, TARGET, target, GOALS)
    for peer, theirs in taken.items():
        if peer not in (EXACTLY_ONCE, AT_LEAST_ONCE):
            yield from compare(name, ours, peer, theirs, GOALS)
