"""What is measured, row by row, and what it is held to. A row's name is what `--only` looks for."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from ottla_apps.bench.broker import connections, latency, requests, startup, throughput, topics
from ottla_apps.bench.broker.contenders import Contender
from ottla_apps.bench.goals import Goal, at_least, at_most
from ottla_apps.bench.rounds import Measurement
from ottla_wire.records import Compression

GOALS: dict[str, Goal] = {
    "produce_mb_per_s": at_least(),
    "produce_cpu_s_per_gb": at_most(),
    "fetch_mb_per_s": at_least(),
    "fetch_cpu_s_per_gb": at_most(),
    "produces_per_s": at_least(),
    "produce_cpu_us": at_most(),
    "fetches_per_s": at_least(),
    "fetch_cpu_us": at_most(),
    "p50_ms": at_most(),
    "p99_ms": at_most(),
    "p999_ms": at_most(),
    "start_s": at_most(0.2),
    "idle_resident_mb": at_most(0.2),
    "create_s": at_most(),
    "list_ms": at_most(),
    "produce_s": at_most(),
    "resident_mb": at_most(),
    "restart_s": at_most(),
    "kb_per_connection": at_most(),
}
"""By figure: what ours is to be beside a peer's."""


class Row(NamedTuple):
    """One line of the report for every contender. `rounds` bounds how often it is measured.

    Without `warm_up` its first round counts: it starts a process of its own and takes long.
    """

    name: str
    measure: Callable[[Contender], Measurement]
    rounds: int = 100
    warm_up: bool = True


class Scale(NamedTuple):
    """How much of everything."""

    megabytes: int = 256
    seconds: float = 2.0
    latency_s: float = 10.0
    topics: int = 1_000
    idle_connections: int = 2_000


QUICK = Scale(megabytes=16, seconds=0.5, latency_s=1.0, topics=20, idle_connections=100)


def rows(scale: Scale) -> list[Row]:
    """All rows, in the order in which they are measured and reported."""
    listed = [
        _throughput(value_bytes, partitions, acks, compression, scale.megabytes)
        for value_bytes in (100, 1_000)
        for partitions in (1, 6)
        for compression in (Compression.NONE, Compression.LZ4)
        for acks in (1, -1)
    ]
    for count in (1, 10, 200):
        measure = partial(requests.measure, connections=count, seconds=scale.seconds)
        listed.append(Row(f"requests, {count} connection{'s' * (count > 1)}", _on_shared(measure)))
    listed.append(Row("latency at 1,000/s", _on_shared(partial(latency.measure, seconds=scale.latency_s))))
    listed.append(Row("start", startup.measure))
    listed.append(Row(f"{scale.topics:,} topics", partial(topics.measure, count=scale.topics), 1, warm_up=False))
    idle = partial(connections.measure, count=scale.idle_connections, seconds=scale.seconds)
    listed.append(Row(f"{scale.idle_connections:,} idle connections", idle, 1, warm_up=False))
    return listed


def _throughput(value_bytes: int, partitions: int, acks: int, compression: Compression, megabytes: int) -> Row:
    size = "100 B" if value_bytes == 100 else "1 KB"
    acknowledged = "all" if acks < 0 else str(acks)
    name = f"{size}, {partitions} partition{'s' * (partitions > 1)}, {compression.name.lower()}, acks {acknowledged}"

    def measure(contender: Contender) -> Measurement:
        return throughput.measure(contender.shared, value_bytes, partitions, acks, compression, megabytes)

    return Row(name, measure)


def _on_shared(measure: Callable[..., Measurement]) -> Callable[[Contender], Measurement]:
    return lambda contender: measure(contender.shared)


def choose(listed: list[Row], wanted: list[str] | None) -> list[Row]:
    """The rows whose names contain one of `wanted`, whatever the case; all of them if nothing is."""
    if not wanted:
        return listed
    return [row for row in listed if any(part.lower() in row.name.lower() for part in wanted)]
