"""What became of the records that a producer was given, as its delivery reports tell."""

from __future__ import annotations

from typing import cast

import confluent_kafka
from confluent_kafka import KafkaError

from ottla.transport.contract import Message, TopicPartition
from ottla.transport.errors import DeliveryError, RecordRefusedError
from ottla.transport.kafka_messages import explained, is_refusal


class Run:
    """Records that were produced one after another: how many were given, and on how many it was reported.

    The two are counted on different threads, so neither is ever counted down.
    """

    __slots__ = ("_deliveries", "given", "reported")

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self.given = 0
        self.reported = 0

    @property
    def is_delivered(self) -> bool:
        return self.reported >= self.given

    def report(self, error: KafkaError | None, message: confluent_kafka.Message) -> None:
        """The report on a record of this run."""
        self.reported += 1
        if error is not None:
            self._deliveries.failed(error, message)

    def report_offset(self, error: KafkaError | None, message: confluent_kafka.Message) -> None:
        """The same for one whose offset is wanted."""
        self.report(error, message)
        if error is None:
            self._deliveries.wrote(cast(Message, message))


class Deliveries:
    """The runs of one producer since its last commit. Whoever serves the producer does so alone: reports come one at a
    time.
    """

    def __init__(self) -> None:
        self.run = Run(self)
        """What is produced now is part of this one."""
        self.failure = ""
        self._refused = False
        self._written: dict[TopicPartition, int] = {}

    def cut(self) -> Run:
        """Ends the run: what is produced from now on is part of another."""
        run, self.run = self.run, Run(self)
        return run

    def take_written(self) -> dict[TopicPartition, int]:
        """The offsets behind the last records that were addressed to a partition, since the last call."""
        written, self._written = self._written, {}
        return written

    def check(self) -> None:
        """Raises `DeliveryError`, `RecordRefusedError` if a record was not delivered."""
        if self.failure:
            raise (RecordRefusedError if self._refused else DeliveryError)(self.failure)

    def failed(self, error: KafkaError, message: confluent_kafka.Message) -> None:
        # Of a batch of which one record is refused, the others are reported as invalid for that.
        if not self.failure or (is_refusal(error) and not self._refused):
            self.failure = f"a record for topic {message.topic()!r} was not delivered: {explained(error)}"
            self._refused = is_refusal(error)

    def wrote(self, message: Message) -> None:
        offset: int | None = message.offset()
        # One that was sent twice, since the first answer was lost, may come without its offset. Then the store keeps an
        # earlier one, and would read what it has already.
        if offset is not None:
            self._written[TopicPartition(message.topic(), message.partition())] = offset + 1
