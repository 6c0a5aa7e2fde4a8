"""Large batches: how fast they go in and come out, and what processor time the broker spends on a gigabyte of values.

The producer keeps five requests under way, as the Java client does, each with a batch of 64 KB for every partition. The
consumer fetches up to 1 MB of each partition at a time, one request after the other.
"""

import time

from ottla_apps.bench.broker.load import (
    batch_of,
    check_produced,
    create_topic,
    delete_topic,
    fetch_frame,
    produce_frame,
    text,
)
from ottla_apps.bench.broker.wire import Connection, check, decode
from ottla_apps.bench.processes import ServerProcess
from ottla_apps.bench.rounds import Measurement
from ottla_wire.messages.fetch import FetchResponse
from ottla_wire.records import Compression

BATCH_BYTES = 64 * 1024
FETCH_BYTES = 1024 * 1024
UNDER_WAY = 5
GB, MB = 1e9, 1e6


def measure(
    broker: ServerProcess, value_bytes: int, partitions: int, acks: int, compression: Compression, megabytes: int
) -> Measurement:
    """Produces `megabytes` (10^6 bytes) of values into a new topic and reads them back."""
    values = text(value_bytes, BATCH_BYTES // value_bytes)
    batch = batch_of(values, compression)
    requests = max(1, round(megabytes * MB / (len(values) * value_bytes * partitions)))
    gigabytes = requests * partitions * len(values) * value_bytes / GB
    topic = create_topic(broker, partitions)
    figures: dict[str, float] = {}
    with Connection(broker.address) as connection:

        def produce() -> None:
            _produce(connection, topic, dict.fromkeys(range(partitions), batch), acks, requests)

        def fetch() -> None:
            _fetch(connection, topic, partitions, len(batch), len(values), requests * len(values))

        for work in (produce, fetch):
            cpu, start = broker.cpu_seconds(), time.perf_counter()
            work()
            seconds, cpu = time.perf_counter() - start, broker.cpu_seconds() - cpu
            figures[f"{work.__name__}_mb_per_s"] = gigabytes * GB / MB / seconds
            figures[f"{work.__name__}_cpu_s_per_gb"] = cpu / gigabytes
    delete_topic(broker, topic)
    return figures


def _produce(connection: Connection, topic: str, batches: dict[int, bytes], acks: int, requests: int) -> None:
    request = produce_frame(topic, batches, acks)
    for sent in range(requests + UNDER_WAY):
        if sent >= UNDER_WAY and sent - UNDER_WAY < requests:
            check_produced(connection.receive())
        if sent < requests:
            connection.send(request)


def _fetch(
    connection: Connection, topic: str, partitions: int, batch_bytes: int, batch_records: int, end_offset: int
) -> None:
    offsets = dict.fromkeys(range(partitions), 0)
    while offsets:
        connection.send(fetch_frame(topic, offsets, FETCH_BYTES))
        for answered in decode(connection.receive(), FetchResponse).responses:
            for partition in answered.partitions:
                check(partition.error_code, f"fetching {topic}-{partition.partition_index}")
                # All batches have one size; the last one may be cut off.
                whole = len(partition.records or b"") // batch_bytes
                offsets[partition.partition_index] += whole * batch_records
                if offsets[partition.partition_index] >= end_offset:
                    del offsets[partition.partition_index]
