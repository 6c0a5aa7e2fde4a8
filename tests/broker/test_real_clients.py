"""Clients that others wrote, against a broker process: create a topic, produce, consume, resume."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

DEADLINE_S = 100


def create_topic(broker: Any, name: str, partitions: int = 1, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.address})
    topic = NewTopic(name, partitions, 1, config={key.replace("_", "."): value for key, value in config.items()})
    admin.create_topics([topic])[name].result(DEADLINE_S)


def produce(broker: Any, topic: str, values: list[bytes], **settings: Any) -> None:
    producer = Producer({"bootstrap.servers": broker.address, **settings})
    for value in values:
        producer.produce(topic, value, key=value)
    assert producer.flush(DEADLINE_S) == 0


def poll(consumer: Consumer, count: int) -> Iterator[Any]:
    deadline = time.monotonic() + DEADLINE_S
    while count and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None:
            assert message.error() is None, message.error()
            yield message
            count -= 1


def consume(broker: Any, topic: str, count: int, group: str = "readers", **settings: Any) -> list[bytes]:
    consumer = Consumer(
        {"bootstrap.servers": broker.address, "group.id": group, "auto.offset.reset": "earliest", **settings}
    )
    consumer.subscribe([topic])
    values = [message.value() for message in poll(consumer, count)]
    consumer.commit(asynchronous=False)
    consumer.close()
    return values


VALUES = [f"value {number}".encode() for number in range(500)]


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_librdkafka_reads_back_what_it_wrote(broker: Any, compression: str) -> None:
    create_topic(broker, "values", partitions=3)
    produce(broker, "values", VALUES, **{"compression.type": compression})
    assert sorted(consume(broker, "values", len(VALUES))) == sorted(VALUES)


def test_a_group_resumes_where_it_committed(broker: Any) -> None:
    create_topic(broker, "values")
    produce(broker, "values", VALUES[:100])
    assert consume(broker, "values", 100) == VALUES[:100]
    produce(broker, "values", VALUES[100:200])
    assert consume(broker, "values", 100) == VALUES[100:200]


def test_an_unknown_topic_is_created_by_writing_to_it(broker: Any) -> None:
    produce(broker, "fresh", VALUES[:10])
    assert consume(broker, "fresh", 10) == VALUES[:10]


def test_an_idempotent_producer_writes_each_message_once(broker: Any) -> None:
    create_topic(broker, "values")
    produce(broker, "values", VALUES, **{"enable.idempotence": True})
    assert consume(broker, "values", len(VALUES)) == VALUES


def test_committed_readers_see_what_a_transaction_committed_and_nothing_it_aborted(broker: Any) -> None:
    create_topic(broker, "values", partitions=2)
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": "writer"})
    producer.init_transactions(DEADLINE_S)
    for number, commits in enumerate([True, False, True]):
        producer.begin_transaction()
        for value in VALUES[:20]:
            producer.produce("values", b"%d: %s" % (number, value), key=value)
        if commits:
            producer.commit_transaction(DEADLINE_S)
        else:
            producer.flush(DEADLINE_S)
            producer.abort_transaction(DEADLINE_S)
    expected = sorted(b"%d: %s" % (number, value) for number in (0, 2) for value in VALUES[:20])
    assert sorted(consume(broker, "values", 40)) == expected
    assert len(consume(broker, "values", 60, group="uncommitted", **{"isolation.level": "read_uncommitted"})) == 60


def test_offsets_sent_to_a_transaction_are_committed_with_it(broker: Any) -> None:
    create_topic(broker, "input")
    create_topic(broker, "output")
    produce(broker, "input", VALUES[:10])
    consumer = Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": "copier",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(["input"])
    messages = list(poll(consumer, 10))
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": "copier"})
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    for message in messages:
        producer.produce("output", message.value())
    producer.send_offsets_to_transaction(
        [TopicPartition("input", 0, 10)], consumer.consumer_group_metadata(), DEADLINE_S
    )
    with pytest.raises(KafkaException):  # whoever asks for stable offsets waits while the transaction is open
        consumer.committed([TopicPartition("input", 0)], 0.5)
    producer.commit_transaction(DEADLINE_S)
    assert consumer.committed([TopicPartition("input", 0)], DEADLINE_S)[0].offset == 10
    consumer.close()
    assert consume(broker, "output", 10) == VALUES[:10]


def test_topics_grow_are_described_and_are_deleted(broker: Any) -> None:
    create_topic(broker, "values", partitions=1, retention_ms="1234567")
    admin = AdminClient({"bootstrap.servers": broker.address})
    admin.create_partitions([NewPartitions("values", 3)])["values"].result(DEADLINE_S)
    assert sorted(admin.list_topics("values", DEADLINE_S).topics["values"].partitions) == [0, 1, 2]
    admin.delete_topics(["values"])["values"].result(DEADLINE_S)
    assert "values" not in admin.list_topics(timeout=DEADLINE_S).topics


def test_everything_is_still_there_after_a_clean_restart(broker: Any) -> None:
    create_topic(broker, "values", partitions=2)
    produce(broker, "values", VALUES[:100])
    consume(broker, "values", 100)
    assert broker.stop() == 0
    broker.start()
    produce(broker, "values", VALUES[100:150])
    assert sorted(consume(broker, "values", 50)) == sorted(VALUES[100:150])
    assert sorted(consume(broker, "values", 150, group="others")) == sorted(VALUES[:150])


def test_what_was_acknowledged_is_still_there_after_a_kill(broker: Any) -> None:
    create_topic(broker, "values", partitions=2)
    produce(broker, "values", VALUES[:100])
    consume(broker, "values", 100)
    broker.kill()
    broker.start()
    produce(broker, "values", VALUES[100:150])
    assert sorted(consume(broker, "values", 50)) == sorted(VALUES[100:150])
    assert sorted(consume(broker, "values", 150, group="others")) == sorted(VALUES[:150])
