"""A Kafka cluster in the place of `MemoryBroker`, for tests that are about what both do alike."""

import time
from collections.abc import Callable, Iterable
from typing import cast

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from ottla.transport.contract import Message, OutputRecord, TopicPartition, TopicSpec

TIMEOUT_S = 100.0


class RealBroker:
    """What a cluster holds. Everything in it is deleted by `clear`, so that each test has names of its own."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._admin = AdminClient({"bootstrap.servers": address})
        self._producer = Producer({"bootstrap.servers": address, "partitioner": "murmur2_random", "linger.ms": 0})
        self._logs: dict[str, _Log] = {}

    @property
    def topics(self) -> dict[str, int]:
        """The number of partitions of each topic."""
        found = self._admin.list_topics(timeout=TIMEOUT_S).topics
        return {name: len(topic.partitions) for name, topic in found.items() if not name.startswith("__")}

    def create_topic(self, spec: TopicSpec) -> None:
        new = NewTopic(spec.name, spec.partitions or 1, 1, config=dict(spec.config))
        self._admin.create_topics([new])[spec.name].result(TIMEOUT_S)
        _until(lambda: spec.name in self.topics)

    def add_partitions(self, topic: str, count: int) -> None:
        self._admin.create_partitions([NewPartitions(topic, count)])[topic].result(TIMEOUT_S)
        _until(lambda: self.topics[topic] == count)

    def append(self, records: Iterable[OutputRecord]) -> None:
        for each in records:
            partition = -1 if each.partition is None else each.partition
            self._producer.produce(
                each.topic, each.value, each.key, partition, timestamp=each.timestamp_ms, headers=each.headers
            )
        assert self._producer.flush(TIMEOUT_S) == 0

    def messages(self, topic: str) -> list[Message]:
        """All committed messages of a topic, partition by partition."""
        if (partitions := self.topics.get(topic)) is None:
            return []
        if topic not in self._logs:
            self._logs[topic] = _Log(self.address, topic, partitions)
        return self._logs[topic].messages()

    def members(self, group: str) -> set[str]:
        """The static members of a group."""
        members = self._admin.describe_consumer_groups([group])[group].result(TIMEOUT_S).members
        return {str(member.group_instance_id) for member in members}

    def offsets(self, group: str) -> dict[TopicPartition, int]:
        """What a group has committed."""
        asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group]
        return {
            TopicPartition(each.topic, each.partition): each.offset for each in asked.result(TIMEOUT_S).topic_partitions
        }

    def forget_offsets(self, group: str) -> None:
        """As if a group had committed nothing, once it has no members."""
        _until(lambda: not self.members(group))
        self._admin.delete_consumer_groups([group])[group].result(TIMEOUT_S)

    def clear(self) -> None:
        for log in self._logs.values():
            log.close()
        self._logs.clear()
        _until(self._groups_are_gone)
        if topics := list(self.topics):
            for gone in self._admin.delete_topics(topics).values():
                gone.result(TIMEOUT_S)
        _until(lambda: not self.topics)

    def _groups_are_gone(self) -> bool:
        """Deletes the groups without members. Those of workers that were not stopped have members for a while."""
        groups = [each.group_id for each in self._admin.list_consumer_groups().result(TIMEOUT_S).valid]
        for deleted in self._admin.delete_consumer_groups(groups).values() if groups else ():
            deleted.exception(TIMEOUT_S)
        return not groups


class _Log:
    """A topic as far as it was read."""

    def __init__(self, address: str, topic: str, partitions: int) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "reader",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
            }
        )
        self._partitions = [confluent_kafka.TopicPartition(topic, number, 0) for number in range(partitions)]
        self._consumer.assign(self._partitions)
        self._read: list[list[Message]] = [[] for _ in self._partitions]
        self._behind = [0] * partitions

    def messages(self) -> list[Message]:
        ends = [self._end(each) for each in self._partitions]
        deadline = time.monotonic() + TIMEOUT_S
        while any(at < end for at, end in zip(self._behind, ends, strict=True)):
            assert time.monotonic() < deadline, f"{self._partitions[0].topic} was not read to its end"
            if (found := self._consumer.poll(0.1)) is None:
                continue
            message = cast(Message, found)
            error = found.error()
            if error is None:
                self._read[message.partition()].append(message)
                self._behind[message.partition()] = message.offset() + 1
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                self._behind[message.partition()] = message.offset()
        return [message for partition in self._read for message in partition]

    def _end(self, partition: confluent_kafka.TopicPartition) -> int:
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                end: int = self._consumer.get_watermark_offsets(partition, TIMEOUT_S)[1]
            except KafkaException as failure:
                # The topic is so new that its leader does not know of it yet.
                if failure.args[0].code() != KafkaError.NOT_LEADER_FOR_PARTITION or time.monotonic() > deadline:
                    raise
            else:
                return end
            time.sleep(0.02)

    def close(self) -> None:
        self._consumer.close()


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
