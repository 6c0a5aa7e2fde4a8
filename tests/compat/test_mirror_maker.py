"""MirrorMaker 2, and with it Kafka Connect, at work between Ottla and Apache Kafka, both ways and exactly once."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from .brokers import Broker, free_ports
from .programs import JAVA, KAFKA_CLASSPATH

TIMEOUT_S = 120
NUMBER = 40

NewTopic = Callable[..., str]
NewName = Callable[[str], str]


@pytest.mark.timeout(5 * TIMEOUT_S)
def test_mirror_maker_copies_records_and_offsets_both_ways(
    running: Callable[[str], Broker], new_name: NewName, tmp_path: Path
) -> None:
    """Topics are made, records of committed transactions copied once each, and offsets of groups translated.

    MirrorMaker 2 is a cluster of Kafka Connect: groups of the protocol `connect`, compacted topics that it reads back,
    and sources that write records and their offsets in one transaction, each with a producer that fences the last one.
    """
    brokers = {name: running(name) for name in ("ottla", "kafka")}
    topics = {name: new_name(f"from-{name}") for name in brokers}
    group = new_name("group")
    for name, broker in brokers.items():
        _write_transactions(broker, topics[name])
        _commit_end(broker, group, topics[name])
    with _mirror_maker(brokers, list(topics.values()), group, tmp_path) as log:
        for source, target in (("ottla", "kafka"), ("kafka", "ottla")):
            copy = f"{source}.{topics[source]}"
            assert _read(brokers[target], copy, log) == [f"value {number}".encode() for number in range(NUMBER)]
            _await_offset(brokers[target], group, copy, log)


def _write_transactions(broker: Broker, topic: str) -> None:
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": topic})
    producer.init_transactions(TIMEOUT_S)
    for start in range(0, NUMBER, 10):
        producer.begin_transaction()
        producer.produce(topic, "of an aborted transaction")
        producer.flush(TIMEOUT_S)
        producer.abort_transaction(TIMEOUT_S)
        producer.begin_transaction()
        for number in range(start, start + 10):
            producer.produce(topic, f"value {number}", partition=0)
        producer.commit_transaction(TIMEOUT_S)


def _commit_end(broker: Broker, group: str, topic: str) -> None:
    """The group has read all of the topic, and has no member."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": group, "enable.auto.commit": False})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), TIMEOUT_S)
        consumer.commit(offsets=[TopicPartition(topic, 0, end)], asynchronous=False)
    finally:
        consumer.close()


@contextmanager
def _mirror_maker(brokers: dict[str, Broker], topics: list[str], group: str, directory: Path) -> Iterator[Path]:
    """MirrorMaker 2 between two brokers while the block runs; its log."""
    settings = {
        "clusters": ",".join(brokers),
        **{f"{name}.bootstrap.servers": broker.address for name, broker in brokers.items()},
        "ottla->kafka.enabled": "true",
        "kafka->ottla.enabled": "true",
        "topics": "|".join(topics),
        "groups": group,
        **{f"{name}.consumer.isolation.level": "read_committed" for name in brokers},
        # Ottla has no access control lists to be copied.
        "sync.topic.acls.enabled": "false",
        "sync.group.offsets.enabled": "true",
        "sync.group.offsets.interval.seconds": "1",
        "emit.checkpoints.interval.seconds": "1",
        "refresh.topics.interval.seconds": "2",
        "refresh.groups.interval.seconds": "2",
        "offset.lag.max": "0",
        "exactly.once.source.support": "enabled",
        "dedicated.mode.enable.internal.rest": "true",
        "listeners": f"http://127.0.0.1:{free_ports(1)[0]}",
        "plugin.discovery": "service_load",
        "replication.factor": "1",
        **{f"{kind}.topic.replication.factor": "1" for kind in ("checkpoints", "heartbeats", "offset-syncs")},
        **{f"{kind}.storage.replication.factor": "1" for kind in ("config", "offset", "status")},
    }
    properties, log = directory / "mm2.properties", directory / "log"
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    command = [*JAVA, KAFKA_CLASSPATH, "org.apache.kafka.connect.mirror.MirrorMaker", str(properties)]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield log
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _read(broker: Broker, topic: str, log: Path) -> list[bytes]:
    """What the copy holds, as soon as there is as much as there should be, and nothing comes after it."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": topic,
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
        }
    )
    consumer.assign([TopicPartition(topic, 0, confluent_kafka.OFFSET_BEGINNING)])
    found: list[bytes] = []
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while len(found) < NUMBER or time.monotonic() < deadline:
            message = consumer.poll(0.5)
            assert time.monotonic() < deadline, f"{topic} has only {found}:\n{log.read_text()[-4000:]}"
            if message is None and len(found) >= NUMBER:
                break
            if message is not None and message.error() is None:
                found.append(message.value() or b"")
    finally:
        consumer.close()
    return found


def _await_offset(broker: Broker, group: str, topic: str, log: Path) -> None:
    """Waits until the group's offset is where the copy of its topic ends: the group could go on there."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": group})
    deadline = time.monotonic() + TIMEOUT_S
    partition = TopicPartition(topic, 0)
    try:
        while True:
            _, end = consumer.get_watermark_offsets(partition, TIMEOUT_S, cached=False)
            (committed,) = consumer.committed([partition], TIMEOUT_S)
            # The copy ends with the marker of its last transaction, behind which no group has committed yet.
            if committed.offset in (end, end - 1):
                return
            assert time.monotonic() < deadline, f"{group} is at {committed.offset} of {end}:\n{log.read_text()[-4000:]}"
            time.sleep(0.2)
    finally:
        consumer.close()
