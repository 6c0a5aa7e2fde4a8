"""The records of `__transaction_state`, in Apache Kafka's own schema. Pure."""

from ottla_broker.coordinator.records import RecordType
from ottla_wire.message import Int8, Int16, Int32, Int64, Message, Struct, tagged


class TransactionLogKey(Message, versions="0", flexible="none"):
    """Names a transactional id."""

    transactional_id: str


class PartitionsSchema(Struct):
    """Partitions of one topic that take part in a transaction."""

    topic: str
    partition_ids: list[Int32]


class TransactionLogValue(Message, versions="0-1", flexible="1+"):
    """A transactional id, its producer, and the transaction that it is in."""

    producer_id: Int64
    previous_producer_id: Int64 = tagged(0, versions="1+", default=-1, ignorable=True)
    next_producer_id: Int64 = tagged(1, versions="1+", default=-1, ignorable=True)
    producer_epoch: Int16
    next_producer_epoch: Int16 = tagged(3, versions="1+", default=-1, ignorable=True)
    transaction_timeout_ms: Int32
    transaction_status: Int8
    transaction_partitions: list[PartitionsSchema] | None
    transaction_last_update_timestamp_ms: Int64
    transaction_start_timestamp_ms: Int64
    client_transaction_version: Int16 = tagged(2, versions="1+", default=0, ignorable=True)


RECORD_TYPES = (RecordType(types=(0,), key=TransactionLogKey, value=TransactionLogValue, write_version=1),)
"""Version 1 carries what transactions of version 2 need (KIP-890); Kafka reads it since 3.8."""
