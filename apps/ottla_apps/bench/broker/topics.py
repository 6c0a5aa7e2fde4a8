"""Many topics: what a broker takes to create, list, fill and find them again after a restart."""

import time
from collections.abc import Callable

from ottla_apps.bench.broker.contenders import Contender, data_directory
from ottla_apps.bench.broker.load import (
    await_leaders,
    batch_of,
    check_produced,
    create_topics,
    fetch_frame,
    produce_frame,
    text,
)
from ottla_apps.bench.broker.wire import Connection, check, decode
from ottla_apps.bench.rounds import Measurement
from ottla_wire.messages.fetch import FetchResponse
from ottla_wire.messages.metadata import MetadataRequest, MetadataResponse

PARTITIONS = 6
TOPICS_PER_REQUEST = 100
LISTINGS = 5
UNDER_WAY = 5


def measure(contender: Contender, count: int) -> Measurement:
    """Seconds for each, with `count` topics of six partitions, and memory. Listing is one Metadata of all topics.

    A restart is an orderly stop, and a start until the last partition has served the record in it.
    """
    names = [f"topic-{number:05}" for number in range(count)]
    with data_directory() as directory:
        with contender.launch(directory) as broker, Connection(broker.address) as connection:
            figures = {
                "create_s": _seconds(lambda: _create(connection, names)),
                "list_ms": _seconds(lambda: _list(connection, count)) * 1000 / LISTINGS,
                "produce_s": _seconds(lambda: _produce(connection, names)),
                "resident_mb": broker.resident_mb(),
                "stop_s": _seconds(broker.stop),
            }
        begun = time.perf_counter()
        with contender.launch(directory) as broker, Connection(broker.address) as connection:
            await_leaders(connection, None)
            _fetch(connection, names[-1])
            figures["restart_s"] = figures.pop("stop_s") + time.perf_counter() - begun
    return figures


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _create(connection: Connection, names: list[str]) -> None:
    for first in range(0, len(names), TOPICS_PER_REQUEST):
        create_topics(connection, names[first : first + TOPICS_PER_REQUEST], PARTITIONS, [])
    await_leaders(connection, names)


def _list(connection: Connection, count: int) -> None:
    for _ in range(LISTINGS):
        answer = connection.ask(MetadataRequest(topics=None), MetadataResponse)
        if len(answer.topics) < count:
            raise RuntimeError(f"{len(answer.topics)} of {count} topics were listed")


def _produce(connection: Connection, names: list[str]) -> None:
    """A record to every partition, in one request for each topic."""
    batches = dict.fromkeys(range(PARTITIONS), batch_of(text(100, 1)))
    for sent, name in enumerate(names):
        connection.send(produce_frame(name, batches, acks=-1))
        if sent >= UNDER_WAY:
            check_produced(connection.receive())
    for _ in range(min(UNDER_WAY, len(names))):
        check_produced(connection.receive())


def _fetch(connection: Connection, name: str) -> None:
    connection.send(fetch_frame(name, dict.fromkeys(range(PARTITIONS), 0), 1024))
    for partition in decode(connection.receive(), FetchResponse).responses[0].partitions:
        check(partition.error_code, f"fetching {name}-{partition.partition_index}")
        if not partition.records:
            raise RuntimeError(f"the record of {name}-{partition.partition_index} is gone")
