"""Where sources stand: the compacted topic `ottla-connect-offsets`.

Keys and values are Kafka Connect's, `["CONNECTOR",{PARTITION}]` and the position as JSON, so that its tools read
them. A position is written in the transaction of the rows before it (KIP-618), which makes it true whatever crashes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import msgspec
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException
from confluent_kafka import TopicPartition as ClientTopicPartition
from confluent_kafka.admin import AdminClient

from ottla_connectors.contract import Position, TopicPartition
from ottla_connectors.errors import BrokerUnavailable
from ottla_connectors.runtime.broker import client_config, end_offsets, ensure_topic

POSITIONS_TOPIC = "ottla-connect-offsets"
POSITIONS_PARTITIONS = 25
"""Kafka Connect's default. Connectors whose positions share a partition wait for each other's transactions."""

_READ_TIMEOUT_S = 90.0  # longer than the 60 s after which a broker aborts a transaction that was left open


def position_key(connector: str, partition: Mapping[str, str]) -> bytes:
    """The key of a source's position."""
    return msgspec.json.encode([connector, partition], order="sorted")


def ensure_positions_topic(admin: AdminClient) -> int:
    """Creates the topic unless it exists and returns its number of partitions."""
    return ensure_topic(admin, POSITIONS_TOPIC, POSITIONS_PARTITIONS, {"cleanup.policy": "compact"})


def read_position(admin: AdminClient, bootstrap_servers: str, key: bytes, partition_index: int) -> Position | None:
    """The last committed position of `key`, which stands in this partition, None where there is none.

    Call it after the connector's producer has initialised its transactions: then none of its own is open. Raises
    BrokerUnavailable when the open transaction of another connector hides the end of the partition for too long.
    """
    partition = TopicPartition(POSITIONS_TOPIC, partition_index)
    end = end_offsets(admin, [partition], IsolationLevel.READ_UNCOMMITTED)[partition]
    consumer = Consumer(
        client_config(
            bootstrap_servers,
            group_id=POSITIONS_TOPIC,  # the client wants one, though nothing is committed
            enable_auto_commit=False,
            isolation_level="read_committed",
            enable_partition_eof=True,
            fetch_wait_max_ms=10,
        )
    )
    try:
        consumer.assign([ClientTopicPartition(*partition, 0)])
        return _last_value(consumer, key, end)
    finally:
        consumer.close()


def _last_value(consumer: Consumer, key: bytes, end: int) -> Position | None:
    found: bytes | None = None
    reached = 0
    deadline = time.monotonic() + _READ_TIMEOUT_S
    while reached < end:
        message = consumer.poll(1.0)
        if message is None:
            if time.monotonic() > deadline:
                raise BrokerUnavailable(
                    f"{POSITIONS_TOPIC} could not be read to its end within {_READ_TIMEOUT_S:.0f} s"
                )
            continue
        if (error := message.error()) is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            reached = max(reached, message.offset() or 0)
            continue
        reached = (message.offset() or 0) + 1
        if message.key() == key:
            found = message.value()
    return None if found is None else msgspec.json.decode(found, type=dict)
