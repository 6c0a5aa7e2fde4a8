"""From produce to consume: how long a record takes from its producer to a consumer that waits for it.

One process holds both ends, so that there is one clock. Each record carries the time at which it was sent; the consumer
always has a fetch under way. Produces leave on schedule, whatever becomes of those before, so a broker that pauses has
all the records of the pause counted against it.
"""

import select
import statistics
import time

from ottla_apps.bench.broker.load import (
    batch_of,
    check_produced,
    create_topic,
    delete_topic,
    fetch_frame,
    produce_frame,
)
from ottla_apps.bench.broker.wire import Connection, check, decode
from ottla_apps.bench.processes import ServerProcess
from ottla_apps.bench.rounds import Measurement
from ottla_wire.messages.fetch import FetchResponse
from ottla_wire.records import iter_batches

PER_SECOND = 1_000
VALUE_BYTES = 100
_ACKS = 1


def measure(broker: ServerProcess, seconds: float) -> Measurement:
    """Percentiles of the latency in milliseconds, at a thousand records a second with one record in each request."""
    topic = create_topic(broker)
    with Connection(broker.address) as producer, Connection(broker.address) as consumer:
        latencies = _exchange(producer, consumer, topic, int(seconds * PER_SECOND))
    delete_topic(broker, topic)
    cuts = statistics.quantiles(latencies, n=1000, method="inclusive")
    return {"p50_ms": cuts[499], "p99_ms": cuts[989], "p999_ms": cuts[998], "records": len(latencies)}


def _exchange(producer: Connection, consumer: Connection, topic: str, count: int) -> list[float]:
    """Send and receive `count` records; the latency of each in milliseconds."""
    latencies: list[float] = []
    sent = 0
    consumer.send(fetch_frame(topic, {0: 0}, 1024 * 1024))
    start = time.perf_counter()
    while len(latencies) < count:
        due = start + sent / PER_SECOND
        now = time.perf_counter()
        if sent < count and now >= due:
            value = time.perf_counter_ns().to_bytes(8, "big") + bytes(VALUE_BYTES - 8)
            producer.send(produce_frame(topic, {0: batch_of([value])}, _ACKS))
            sent += 1
            continue
        timeout = max(0.0, due - now) if sent < count else 30.0
        readable, _, _ = select.select([producer.socket, consumer.socket], [], [], timeout)
        if not readable and sent == count:
            raise RuntimeError(f"{len(latencies)} of {count} records were consumed")
        if consumer.socket in readable:
            latencies += _consume(consumer)
            consumer.send(fetch_frame(topic, {0: len(latencies)}, 1024 * 1024))
        if producer.socket in readable:
            check_produced(producer.receive())
    consumer.receive()
    return latencies


def _consume(consumer: Connection) -> list[float]:
    answer = consumer.receive()
    now = time.perf_counter_ns()
    (partition,) = decode(answer, FetchResponse).responses[0].partitions
    check(partition.error_code, "fetching")
    return [
        (now - int.from_bytes(record.value[:8], "big")) / 1e6
        for batch in iter_batches(partition.records or b"")  # type: ignore[arg-type]
        for record in batch.records()
        if record.value is not None
    ]
