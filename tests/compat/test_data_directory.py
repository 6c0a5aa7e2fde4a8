"""A data directory goes from Ottla to Apache Kafka as it is, and from Apache Kafka to Ottla not at all."""

import shutil
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from .brokers import kafka, single_ottla

TIMEOUT_S = 100
TOPIC, GROUP = "orders", "billing"


def write(address: str) -> None:
    """Five records in a transaction that is aborted, five in one that is committed, and an offset of a group."""
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(TIMEOUT_S)
    producer = Producer({"bootstrap.servers": address, "transactional.id": "till", "compression.type": "lz4"})
    producer.init_transactions(TIMEOUT_S)
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        for number in range(5):
            producer.produce(TOPIC, f"{end.__name__} {number}", "key", partition=0)
        producer.flush(TIMEOUT_S)
        end(TIMEOUT_S)
    consumer = Consumer({"bootstrap.servers": address, "group.id": GROUP})
    consumer.commit(offsets=[TopicPartition(TOPIC, 0, 1)], asynchronous=False)
    consumer.close()


def read(address: str) -> list[str]:
    """What was committed of what the group has not read yet."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": GROUP, "isolation.level": "read_committed"})
    consumer.subscribe([TOPIC])
    messages = consumer.consume(5, TIMEOUT_S)
    consumer.close()
    return [message.value().decode() for message in messages]


def test_apache_kafka_goes_on_where_ottla_has_stopped(tmp_path: Path) -> None:
    with single_ottla(tmp_path / "data") as address:
        write(address)
    with kafka(tmp_path) as running:
        assert read(running.address) == [f"commit_transaction {number}" for number in range(5)]


def test_ottla_says_that_it_cannot_read_the_metadata_of_apache_kafka(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with kafka(tmp_path):
        pass
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    with pytest.raises(AssertionError, match="did not start"), single_ottla(tmp_path / "copy"):
        pass
    assert "which this version does not know" in capfd.readouterr().err
