"""Processor time that the broker spends on a gigabyte produced and fetched, under confluent-kafka's load."""

import time
from pathlib import Path
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from ottla_apps.bench.processes import BrokerProcess
from ottla_apps.bench.rounds import Measurement

GB = 1e9
FETCH_TIMEOUT_S = 120.0
PRODUCER = {
    "linger.ms": 5,
    "batch.size": 1_000_000,
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 262_144,
    "delivery.report.only.error": True,
}
CONSUMER = {
    "group.id": "bench",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "enable.partition.eof": False,
    "fetch.message.max.bytes": 8_000_000,
    "queued.min.messages": 1_000_000,
    "check.crcs": False,
}


def transfer(broker: BrokerProcess, value_bytes: int, megabytes: int) -> Measurement:
    """Produces `megabytes` (10^6 bytes) of values of one size into a new one-partition topic and reads them back."""
    count = megabytes * 1_000_000 // value_bytes
    topic = f"bench-{uuid4()}"
    admin = AdminClient({"bootstrap.servers": broker.address})
    # Files that go at once give their page cache to the next round: first-touch pages cost ten times recycled ones.
    new_topic = NewTopic(topic, 1, 1, config={"file.delete.delay.ms": "0"})
    admin.create_topics([new_topic])[topic].result(30)
    gigabytes = count * value_bytes / GB

    cpu, start = broker.cpu_seconds(), time.perf_counter()
    produce(broker.address, topic, value_bytes, count)
    produce_s, produce_cpu = time.perf_counter() - start, broker.cpu_seconds() - cpu

    cpu, start = broker.cpu_seconds(), time.perf_counter()
    fetch(broker.address, topic, count)
    fetch_s, fetch_cpu = time.perf_counter() - start, broker.cpu_seconds() - cpu

    admin.delete_topics([topic])[topic].result(30)
    return {
        "produce_cpu_s_per_gb": produce_cpu / gigabytes,
        "fetch_cpu_s_per_gb": fetch_cpu / gigabytes,
        "produce_mb_per_s": gigabytes * 1000 / produce_s,
        "fetch_mb_per_s": gigabytes * 1000 / fetch_s,
    }


def produce(address: str, topic: str, value_bytes: int, count: int) -> None:
    """Produces `count` values and waits until all are acknowledged.

    Raises:
        KafkaException: the broker refused a value.
        RuntimeError: they were not acknowledged within two minutes.
    """
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer({"bootstrap.servers": address, "on_delivery": delivered, **PRODUCER})
    value = bytes(index % 251 for index in range(value_bytes))
    for _ in range(count):
        _offer(producer, topic, value)
    if unsent := producer.flush(FETCH_TIMEOUT_S):
        raise RuntimeError(f"{unsent} of {count} values were not acknowledged within {FETCH_TIMEOUT_S:.0f} s")
    if failed:
        raise KafkaException(failed[0])


def fetch(address: str, topic: str, count: int) -> None:
    """Reads `count` values from the start of the topic's only partition.

    Raises:
        KafkaException: the broker reported an error.
        RuntimeError: they did not arrive within two minutes.
    """
    consumer = Consumer({"bootstrap.servers": address, **CONSUMER})
    consumer.assign([TopicPartition(topic, 0, 0)])
    deadline = time.monotonic() + FETCH_TIMEOUT_S
    try:
        while count > 0:
            messages = consumer.consume(min(count, 10_000), timeout=1.0)
            for message in messages:
                if error := message.error():
                    raise KafkaException(error)
            count -= len(messages)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{count} values of {topic} did not arrive within {FETCH_TIMEOUT_S:.0f} s")
    finally:
        consumer.close()


def _offer(producer: Producer, topic: str, value: bytes) -> None:
    """Produces one value, waiting for room in the client's queue."""
    deadline = time.monotonic() + FETCH_TIMEOUT_S
    while True:
        try:
            producer.produce(topic, value)
        except BufferError:
            if time.monotonic() > deadline:
                raise
            producer.poll(0.1)
        else:
            return


def start_and_idle(data_dir: Path) -> Measurement:
    """Starts a broker on a new data directory: seconds to its first accepted connection, and its memory once idle."""
    start = time.perf_counter()
    with BrokerProcess(data_dir) as broker:
        started = time.perf_counter() - start
        time.sleep(1.0)  # the figure is idle memory: let what start-up deferred happen
        return {"start_s": started, "idle_resident_mb": broker.resident_mb()}
