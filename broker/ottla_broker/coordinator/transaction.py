"""A transactional id and the transaction it is in: states, transitions, and what the log keeps of it. Pure.

A `Transaction` is a value. Deciding makes a new one, the log carries it, and replaying puts it in the old one's place.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum

from ottla_broker.coordinator.decision import Producer
from ottla_broker.coordinator.errors import IllegalTransition, UnreadableRecord
from ottla_broker.coordinator.transaction_records import PartitionsSchema, TransactionLogValue

Partition = tuple[str, int]

NO_PRODUCER_ID = -1
MAX_EPOCH = 32_767

TRANSACTIONS_V1 = 0
TRANSACTIONS_V2 = 2
"""Levels of the feature `transaction.version` as far as they differ for a producer: with 2 each transaction has an
epoch of its own, and partitions are added by writing to them (KIP-890)."""


class TransactionState(IntEnum):
    """Numbered as in the log. Kafka's Dead (6) and PrepareEpochFence (7) exist in its memory only: here an expired id
    is a tombstone, and fencing a producer and preparing to abort are one record."""

    EMPTY = 0
    """A producer has been initialized and has not begun a transaction."""
    ONGOING = 1
    """Partitions take part. The transaction timeout runs."""
    PREPARE_COMMIT = 2
    """Decided: it will be committed, whatever happens. Markers are on their way to its partitions."""
    PREPARE_ABORT = 3
    """Decided: it will be aborted. Markers are on their way to its partitions."""
    COMPLETE_COMMIT = 4
    """All partitions have the marker."""
    COMPLETE_ABORT = 5
    """All partitions have the marker."""

    @property
    def title(self) -> str:
        """The name that ListTransactions and DescribeTransactions use."""
        return self.name.title().replace("_", "")


TRANSITIONS: dict[TransactionState, frozenset[TransactionState]] = {
    # From a state without a transaction straight to an abort: a producer of version 2 may abort what it never began.
    TransactionState.EMPTY: frozenset(
        {TransactionState.EMPTY, TransactionState.ONGOING, TransactionState.PREPARE_ABORT}
    ),
    TransactionState.ONGOING: frozenset(
        {TransactionState.ONGOING, TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT}
    ),
    TransactionState.PREPARE_COMMIT: frozenset({TransactionState.COMPLETE_COMMIT}),
    TransactionState.PREPARE_ABORT: frozenset({TransactionState.COMPLETE_ABORT}),
    TransactionState.COMPLETE_COMMIT: frozenset(
        {TransactionState.EMPTY, TransactionState.ONGOING, TransactionState.PREPARE_ABORT}
    ),
    TransactionState.COMPLETE_ABORT: frozenset(
        {TransactionState.EMPTY, TransactionState.ONGOING, TransactionState.PREPARE_ABORT}
    ),
}

PREPARED = frozenset({TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT})


def is_exhausted(epoch: int) -> bool:
    """Whether no producer may be given a higher epoch: the last one is kept for fencing."""
    return epoch >= MAX_EPOCH - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A transactional id with its producer. Times are milliseconds since the epoch."""

    transactional_id: str
    producer_id: int
    producer_epoch: int
    previous_producer_id: int = NO_PRODUCER_ID
    """The id before the epochs of this one began, for retries that still carry it."""
    next_producer_id: int = NO_PRODUCER_ID
    """The id that follows when this transaction is complete, because it used up the last epoch."""
    timeout_ms: int
    state: TransactionState = TransactionState.EMPTY
    partitions: frozenset[Partition] = frozenset()
    started_ms: int = -1
    updated_ms: int
    client_version: int = TRANSACTIONS_V1
    """The `transaction.version` that the producer of the transaction follows."""

    @property
    def producer(self) -> Producer:
        return Producer(self.producer_id, self.producer_epoch)

    @property
    def bumps_epochs(self) -> bool:
        return self.client_version >= TRANSACTIONS_V2

    @property
    def commits(self) -> bool:
        return self.state in (TransactionState.PREPARE_COMMIT, TransactionState.COMPLETE_COMMIT)

    @property
    def deadline_ms(self) -> int:
        """When an ongoing transaction is aborted."""
        return self.started_ms + self.timeout_ms

    # -- steps

    def initialized(self, producer: Producer, timeout_ms: int, now_ms: int) -> "Transaction":
        """A producer has been given this id and epoch."""
        previous = self.previous_producer_id if producer.id == self.producer_id else self.producer_id
        return replace(
            self._step(TransactionState.EMPTY, now_ms),
            producer_id=producer.id,
            producer_epoch=producer.epoch,
            previous_producer_id=previous,
            timeout_ms=timeout_ms,
            partitions=frozenset(),
            started_ms=-1,
            client_version=TRANSACTIONS_V1,
        )

    def extended(self, partitions: Iterable[Partition], client_version: int, now_ms: int) -> "Transaction":
        """More partitions take part; the first ones begin the transaction."""
        started_ms = self.started_ms if self.state is TransactionState.ONGOING else now_ms
        return replace(
            self._step(TransactionState.ONGOING, now_ms),
            partitions=self.partitions | frozenset(partitions),
            started_ms=started_ms,
            client_version=client_version,
        )

    def ended(self, commit: bool, client_version: int, next_producer_id: int, now_ms: int) -> "Transaction":
        """The producer has decided. With version 2 the next transaction has the next epoch, which markers carry."""
        prepared = self._step(TransactionState.PREPARE_COMMIT if commit else TransactionState.PREPARE_ABORT, now_ms)
        return replace(
            prepared,
            producer_epoch=self.producer_epoch + (client_version >= TRANSACTIONS_V2),
            next_producer_id=next_producer_id,
            started_ms=now_ms if self.state is not TransactionState.ONGOING else self.started_ms,
            client_version=client_version,
        )

    def fenced(self, now_ms: int) -> "Transaction":
        """Abort on somebody else's behalf, under an epoch that the producer does not have."""
        return replace(
            self._step(TransactionState.PREPARE_ABORT, now_ms),
            producer_epoch=self.producer_epoch + 1,
        )

    def completed(self, now_ms: int) -> "Transaction":
        """All partitions have the marker."""
        completed = self._step(
            TransactionState.COMPLETE_COMMIT if self.commits else TransactionState.COMPLETE_ABORT, now_ms
        )
        completed = replace(completed, partitions=frozenset())
        if self.next_producer_id == NO_PRODUCER_ID:
            return completed
        return replace(
            completed,
            producer_id=self.next_producer_id,
            producer_epoch=0,
            previous_producer_id=self.producer_id,
            next_producer_id=NO_PRODUCER_ID,
        )

    def _step(self, state: TransactionState, now_ms: int) -> "Transaction":
        if state not in TRANSITIONS[self.state]:
            raise IllegalTransition(f"transactional id {self.transactional_id!r}", self.state.title, state.title)
        return replace(self, state=state, updated_ms=now_ms)

    # -- the log

    def recorded(self) -> TransactionLogValue:
        """This as the log keeps it."""
        topics: dict[str, list[int]] = {}
        for topic, index in sorted(self.partitions):
            topics.setdefault(topic, []).append(index)
        partitions = [PartitionsSchema(topic=topic, partition_ids=indexes) for topic, indexes in topics.items()]
        return TransactionLogValue(
            producer_id=self.producer_id,
            previous_producer_id=self.previous_producer_id,
            next_producer_id=self.next_producer_id,
            producer_epoch=self.producer_epoch,
            transaction_timeout_ms=self.timeout_ms,
            transaction_status=self.state,
            transaction_partitions=None if self.state is TransactionState.EMPTY else partitions,
            transaction_last_update_timestamp_ms=self.updated_ms,
            transaction_start_timestamp_ms=self.started_ms,
            client_transaction_version=self.client_version,
        )

    @classmethod
    def from_record(cls, transactional_id: str, value: TransactionLogValue) -> "Transaction":
        """Read back what `recorded` wrote. Raises UnreadableRecord for a state that has no business in the log."""
        try:
            state = TransactionState(value.transaction_status)
        except ValueError:
            raise UnreadableRecord(
                f"transactional id {transactional_id!r} is in the unknown state {value.transaction_status}"
            ) from None
        return cls(
            transactional_id=transactional_id,
            producer_id=value.producer_id,
            producer_epoch=value.producer_epoch,
            previous_producer_id=value.previous_producer_id,
            next_producer_id=value.next_producer_id,
            timeout_ms=value.transaction_timeout_ms,
            state=state,
            partitions=frozenset(
                (topic.topic, index) for topic in value.transaction_partitions or () for index in topic.partition_ids
            ),
            started_ms=value.transaction_start_timestamp_ms,
            updated_ms=value.transaction_last_update_timestamp_ms,
            client_version=value.client_transaction_version,
        )
