"""The input of a sink from topics: a read-committed consumer that is assigned its partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
)
from confluent_kafka import TopicPartition as ClientTopicPartition
from confluent_kafka.admin import AdminClient

from ottla_connectors.contract import Headers, TopicPartition
from ottla_connectors.errors import BrokerError, BrokerUnavailable
from ottla_connectors.runtime.broker import (
    BATCH_MAX_BYTES,
    REQUEST_TIMEOUT_S,
    Clerk,
    client_config,
    end_offsets,
    ensure_topic,
    partition_counts,
    produce,
    topic_ids,
)
from ottla_connectors.runtime.dead_letters import DeadLetter, dead_letter_topic
from ottla_connectors.runtime.sink_runner import Polled, Record

_POLL_TIMEOUT_S = 0.1  # the client waits this long for a full batch, so it bounds how late a lone record is written
_QUEUED_MAX_KB = 32 << 10


class KafkaInput:
    """See `sink_runner.Input`. `group` is the consumer group whose offsets show how far the sink is."""

    def __init__(self, bootstrap_servers: str, connector: str, topics: Sequence[str], group: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._connector = connector
        self._topics = topics
        self._group = group
        self._clerk = Clerk(f"sink-{connector}")
        self._assigned: list[TopicPartition] = []
        self._admin = AdminClient(client_config(bootstrap_servers))
        self._consumer: Consumer | None = None
        self._undertaker: Producer | None = None

    async def open(self) -> None:
        """See `Input.open`."""
        await self._clerk.call(self._open)

    async def partitions(self) -> Mapping[TopicPartition, str]:
        """See `Input.partitions`."""
        return await self._clerk.call(self._partitions)

    async def end_offsets(self) -> Mapping[TopicPartition, int]:
        """See `Input.end_offsets`; of the assigned partitions."""
        return await self._clerk.call(self._end_offsets)

    async def committed(self) -> Mapping[TopicPartition, int]:
        """See `Input.committed`."""
        return await self._clerk.call(self._committed)

    async def assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        """See `Input.assign`."""
        await self._clerk.call(self._assign, positions)

    async def poll(self, max_records: int) -> Polled:
        """See `Input.poll`."""
        return await self._clerk.call(self._poll, max_records)

    async def bury(self, letters: Sequence[DeadLetter]) -> None:
        """See `Input.bury`."""
        await self._clerk.call(self._bury, letters)

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Input.commit`."""
        await self._clerk.call(self._commit, positions)

    async def close(self) -> None:
        """See `Input.close`."""
        await self._clerk.close(self._close)

    def _open(self) -> None:
        self._consumer = Consumer(
            client_config(
                self._bootstrap_servers,
                group_id=self._group,
                enable_auto_commit=False,
                auto_offset_reset="error",  # an offset that retention took away means lost data, never a skip
                isolation_level="read_committed",
                enable_partition_eof=True,
                fetch_wait_max_ms=100,
                queued_max_messages_kbytes=_QUEUED_MAX_KB,
            )
        )

    def _partitions(self) -> dict[TopicPartition, str]:
        counts = partition_counts(self._admin, self._topics)
        if missing := [topic for topic in self._topics if topic not in counts]:
            raise BrokerUnavailable(f"topic {missing[0]!r} does not exist, so sink {self._connector!r} cannot read it")
        ids = topic_ids(self._admin, self._topics)
        return {TopicPartition(topic, index): ids[topic] for topic, count in counts.items() for index in range(count)}

    def _end_offsets(self) -> dict[TopicPartition, int]:
        return end_offsets(self._admin, self._assigned, IsolationLevel.READ_COMMITTED)

    def _committed(self) -> dict[TopicPartition, int]:
        wanted = [ClientTopicPartition(*partition) for partition in self._partitions()]
        found = self._reader().committed(wanted, timeout=REQUEST_TIMEOUT_S)
        return {TopicPartition(each.topic, each.partition): each.offset for each in found if each.offset >= 0}

    def _assign(self, positions: Mapping[TopicPartition, int | None]) -> None:
        self._assigned = list(positions)
        # A client that does not know the leaders yet tries again after half a second.
        self._reader().list_topics(timeout=REQUEST_TIMEOUT_S)
        self._reader().assign(
            [
                ClientTopicPartition(*partition, OFFSET_BEGINNING if offset is None else offset)
                for partition, offset in positions.items()
            ]
        )

    def _poll(self, max_records: int) -> Polled:
        records: list[Record] = []
        reached: dict[TopicPartition, int] = {}
        for message in self._reader().consume(max_records, _POLL_TIMEOUT_S):
            partition = TopicPartition(message.topic() or "", message.partition() or 0)
            if (error := message.error()) is None:
                records.append(_record(partition, message))
            elif error.code() == KafkaError._PARTITION_EOF:
                reached[partition] = message.offset() or 0
            elif error.code() == KafkaError._AUTO_OFFSET_RESET:
                raise BrokerError(
                    f"sink {self._connector!r} stands at an offset of {partition.topic}-{partition.partition} that the "
                    f"broker has deleted: {error.str()}"
                )
            else:
                raise KafkaException(error)
        return Polled(records, reached)

    def _bury(self, letters: Sequence[DeadLetter]) -> None:
        topic = dead_letter_topic(self._connector)
        if self._undertaker is None:
            ensure_topic(self._admin, topic, 1, {})
            config = client_config(self._bootstrap_servers, enable_idempotence=True, message_max_bytes=BATCH_MAX_BYTES)
            self._undertaker = Producer(config)
        failures: list[KafkaError] = []
        for letter in letters:
            produce(
                self._undertaker,
                topic,
                letter.key,
                letter.value,
                letter.headers,
                on_delivery=lambda error, _message: failures.append(error) if error is not None else None,
            )
        if self._undertaker.flush(REQUEST_TIMEOUT_S):
            raise BrokerUnavailable(f"dead letters could not be written to {topic!r} within {REQUEST_TIMEOUT_S:.0f} s")
        if failures:
            raise KafkaException(failures[0])

    def _commit(self, positions: Mapping[TopicPartition, int]) -> None:
        offsets = [ClientTopicPartition(*partition, offset) for partition, offset in positions.items()]
        self._reader().commit(offsets=offsets, asynchronous=False)

    def _close(self) -> None:
        if self._undertaker is not None:
            self._undertaker.purge()
            self._undertaker = None
        if self._consumer is not None:
            self._consumer.close()

    def _reader(self) -> Consumer:
        assert self._consumer is not None
        return self._consumer


def _record(partition: TopicPartition, message: Message) -> Record:
    kind, timestamp_ms = message.timestamp()
    return Record(
        partition,
        message.offset() or 0,
        message.key(),
        message.value(),
        None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp_ms,
        cast("Headers", tuple(message.headers() or ())),
    )
