"""The output of a source into a topic: one transaction per batch, position included (KIP-618).

The transactional id belongs to the connector, so that a task that starts fences the one before it, whose open
transaction is aborted and whose position can no longer move.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

import msgspec
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import murmur2

from ottla_connectors.contract import Batch, MalformedRow, Position, Row
from ottla_connectors.errors import ConfigError
from ottla_connectors.runtime import dead_letters
from ottla_connectors.runtime.broker import (
    BATCH_MAX_BYTES,
    RECORD_MAX_BYTES,
    REQUEST_TIMEOUT_S,
    Clerk,
    client_config,
    ensure_topic,
    produce,
)
from ottla_connectors.runtime.positions import POSITIONS_TOPIC, ensure_positions_topic, position_key, read_position
from ottla_connectors.runtime.source_runner import Written

_COMMIT_TIMEOUT_S = 60.0
_LAST_TRY_S = 0.1

_log = logging.getLogger(__name__)


class KafkaOutput:
    """See `source_runner.Output`. `partition` is the source's; `partitions` and `topic_config` serve a new topic."""

    def __init__(
        self,
        bootstrap_servers: str,
        connector: str,
        partition: Mapping[str, str],
        topic: str,
        *,
        partitions: int | None = None,
        topic_config: Mapping[str, str] | None = None,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._connector = connector
        self._key = position_key(connector, partition)
        self._topic = topic
        self._partitions = partitions
        self._topic_config = topic_config or {}
        self._dead_letters = dead_letters.dead_letter_topic(connector)
        self._has_dead_letters = False
        self._clerk = Clerk(f"source-{connector}")
        self._admin = AdminClient(client_config(bootstrap_servers))
        self._producer: Producer | None = None
        self._position_partition = 0

    async def open(self) -> Position | None:
        """See `Output.open`. Creates the topics that are missing. Raises ConfigError for one with other partitions."""
        return await self._clerk.call(self._open)

    async def write(self, batch: Batch) -> Written:
        """See `Output.write`. A row that is no JSON, or too large for a topic, is counted and kept as malformed."""
        return await self._clerk.call(self._write, batch)

    async def close(self) -> None:
        """See `Output.close`. An open transaction is left to be aborted by the next task or by its timeout."""
        await self._clerk.close(self._close)

    def _open(self) -> Position | None:
        found = ensure_topic(self._admin, self._topic, self._partitions, self._topic_config)
        if self._partitions not in (None, found):
            raise ConfigError(
                f"topic {self._topic!r} has {found} partitions and connector {self._connector!r} asks for "
                f"{self._partitions}; ask for {found}, or write to another topic"
            )
        positions_partitions = ensure_positions_topic(self._admin)
        self._position_partition = murmur2(self._key, positions_partitions)
        self._producer = Producer(
            client_config(
                self._bootstrap_servers,
                transactional_id=f"ottla-connect-{self._connector}",
                partitioner="murmur2_random",  # the Java clients' choice, so that equal keys meet whoever wrote them
                linger_ms=5,
                message_max_bytes=BATCH_MAX_BYTES,
            )
        )
        self._producer.init_transactions(REQUEST_TIMEOUT_S)
        return read_position(self._admin, self._bootstrap_servers, self._key, self._position_partition)

    def _close(self) -> None:
        if self._producer is not None:
            self._producer.purge()
            self._producer = None  # its own close() fails for a producer that was fenced

    def _write(self, batch: Batch) -> Written:
        assert self._producer is not None
        producer = self._producer
        encoded, refused = _encoded(batch.rows)
        malformed = [*batch.malformed, *refused]
        if malformed and not self._has_dead_letters:
            ensure_topic(self._admin, self._dead_letters, 1, {})
            self._has_dead_letters = True
        producer.begin_transaction()
        try:
            for row, value in encoded:
                produce(producer, self._topic, row.key, value, row.headers, row.timestamp_ms)
            for letter in map(dead_letters.from_source, malformed):
                produce(producer, self._dead_letters, letter.key, letter.value, letter.headers)
            position = msgspec.json.encode(batch.position)
            produce(producer, POSITIONS_TOPIC, self._key, position, (), partition=self._position_partition)
            _commit(producer)
        except KafkaException as error:
            if not error.args[0].retriable():
                _abort(producer, error)
            raise
        return Written(len(encoded), len(malformed), batch.position)


def _encoded(rows: Sequence[Row]) -> tuple[list[tuple[Row, bytes | None]], list[MalformedRow]]:
    """The rows with their values as JSON, and those that no topic takes."""
    encoded: list[tuple[Row, bytes | None]] = []
    refused: list[MalformedRow] = []
    for row in rows:
        try:
            value = None if row.value is None else msgspec.json.encode(row.value)
        except (TypeError, ValueError, RecursionError) as error:
            refused.append(MalformedRow(f"not to be written as JSON: {error}", row.origin, b""))
            continue
        if len(value or b"") + len(row.key or b"") > RECORD_MAX_BYTES:
            reason = f"{len(value or b'')} bytes as JSON; a record holds {RECORD_MAX_BYTES}"
            refused.append(MalformedRow(reason, row.origin, value or b""))
        else:
            encoded.append((row, value))
    return encoded, refused


def _commit(producer: Producer) -> None:
    """Commits the open transaction. A retriable failure leaves the outcome open, so the same commit is tried again.

    When that goes on for too long it is raised: the commit may still come to its end, and an abort is refused until
    then. It is the next task's `init_transactions` that waits for the end, and then reads which it was.
    """
    deadline = time.monotonic() + _COMMIT_TIMEOUT_S
    while True:
        try:
            producer.commit_transaction(max(deadline - time.monotonic(), _LAST_TRY_S))
            return
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() >= deadline:
                raise


def _abort(producer: Producer, cause: KafkaException) -> None:
    if cause.args[0].fatal():
        return
    try:
        producer.abort_transaction(REQUEST_TIMEOUT_S)
    except KafkaException as error:
        _log.warning("transaction left open, the next task or the broker aborts it: %s", error)
