"""The transactional ids of one partition of `__transaction_state`: what the runtime drives. Pure.

The life of a transaction (KIP-98, KIP-360, KIP-890): a producer is initialized, partitions join, the producer ends it.
From the PREPARE record on the outcome cannot change. Replaying that record, in life or at start, puts the transaction
among those whose markers are due (`take_prepared`); when every partition has its marker the driver says `complete`.
"""

import logging
from collections.abc import Collection, Iterator
from enum import Enum
from typing import NamedTuple

from ottla_broker.config import BrokerConfig
from ottla_broker.coordinator.decision import CoordinatorRecord, Decision, Producer, Ticket
from ottla_broker.coordinator.producer_ids import ProducerIds
from ottla_broker.coordinator.timers import Timers
from ottla_broker.coordinator.transaction import (
    MAX_EPOCH,
    NO_PRODUCER_ID,
    PREPARED,
    TRANSACTIONS_V2,
    Partition,
    Transaction,
    TransactionState,
    is_exhausted,
)
from ottla_broker.coordinator.transaction_records import TransactionLogKey, TransactionLogValue
from ottla_wire.errors import ErrorCode, KafkaError

logger = logging.getLogger(__name__)

MARKER_RETRY_MS = 200
"""When to send markers again that a partition could not take."""

EXPIRATION_CHECK_INTERVAL_MS = 3_600_000
"""How often transactional ids are looked through for expired ones: Kafka's default."""

EXPIRED_PER_BATCH = 1_000
"""How many tombstones one such look writes at a time."""

_SETTLED = -1  # an offset below all others


class TransactionTimerKind(Enum):
    TIMEOUT = "timeout"
    """A transaction has been open for as long as its producer allowed."""
    MARKERS = "markers"
    """Markers that could not be written are tried again."""
    EXPIRATION = "expiration"
    """Transactional ids are looked through for those that nobody uses."""


class TransactionTimer(NamedTuple):
    """What a transaction coordinator's deadline is about."""

    partition: int
    kind: TransactionTimerKind
    transactional_id: str = ""


class TransactionCore:
    """One partition's transactional ids. `timers` is shared with the other partitions of this node."""

    def __init__(self, partition: int, config: BrokerConfig, timers: Timers[TransactionTimer]) -> None:
        self.partition = partition
        self.transactions: dict[str, Transaction] = {}
        self._config = config
        self._timers = timers
        # The partitions that still need their marker, of transactions whose turn is now and of those to be retried; and
        # where in the log the outcome stands that the markers will tell of.
        self._due: dict[str, tuple[frozenset[Partition], int]] = {}
        self._retries: dict[str, frozenset[Partition]] = {}
        # For InitProducerId that is sent again because its answer was lost (KIP-360): the epoch before the current
        # one, while nobody else has been initialized since. The log has no place for it.
        self._retried_epochs: dict[str, int] = {}

    # -- replay

    def replay(self, record: CoordinatorRecord, log_offset: int, producer_id: int) -> None:  # noqa: ARG002
        """Take over one record of the log, in life after it was appended and at start alike."""
        match record:
            case CoordinatorRecord(TransactionLogKey() as key, None):
                self.transactions.pop(key.transactional_id, None)
                self._retried_epochs.pop(key.transactional_id, None)
                self._timers.cancel(self._timeout(key.transactional_id))
            case CoordinatorRecord(TransactionLogKey() as key, TransactionLogValue() as value):
                self._replace(Transaction.from_record(key.transactional_id, value), log_offset)

    def replay_marker(self, producer_id: int, committed: bool) -> None:
        """Nothing here is written within transactions, so that no marker concerns us."""

    def _replace(self, transaction: Transaction, log_offset: int) -> None:
        transactional_id = transaction.transactional_id
        self.transactions[transactional_id] = transaction
        if transaction.state in PREPARED:
            self._due[transactional_id] = transaction.partitions, log_offset
        else:
            self._due.pop(transactional_id, None)
        if transaction.state is TransactionState.ONGOING:
            self._timers.set(self._timeout(transactional_id), transaction.deadline_ms)
        else:
            self._timers.cancel(self._timeout(transactional_id))

    def loaded(self, now_ms: int) -> None:
        """The log has been replayed: let time run for what nobody will ask about."""
        self._schedule_expiration(now_ms + EXPIRATION_CHECK_INTERVAL_MS)

    def expire(self, timer: TransactionTimer, now_ms: int) -> Decision:
        """One of our deadlines has passed."""
        if timer.kind is TransactionTimerKind.EXPIRATION:
            return self._expire_ids(now_ms)
        transaction = self.transactions.get(timer.transactional_id)
        if transaction is None:
            return Decision()
        if timer.kind is TransactionTimerKind.MARKERS:
            if transaction.state in PREPARED:
                retried = self._retries.pop(timer.transactional_id, transaction.partitions)
                self._due[timer.transactional_id] = retried, _SETTLED
            return Decision()
        logger.info("transactional id %r: aborting a transaction that is open for too long", timer.transactional_id)
        decision = self._record(transaction.fenced(now_ms))

        def otherwise(failed_ms: int) -> Decision:
            self._timers.set(timer, failed_ms + MARKER_RETRY_MS)
            return Decision()

        decision.otherwise = otherwise
        return decision

    # -- producers

    def init_producer_id(
        self,
        transactional_id: str,
        timeout_ms: int,
        expected: Producer | None,
        ids: ProducerIds,
        ticket: Ticket[Producer],
        now_ms: int,
    ) -> Decision:
        """InitProducerId with a transactional id: a producer with an epoch that fences all before it.

        An open transaction is aborted first, and the answer is CONCURRENT_TRANSACTIONS: ask again. `expected` is who
        the sender believes to be, when it only wants to go on after an error (KIP-360).
        """
        if not 0 < timeout_ms <= self._config.transaction_max_timeout_ms:
            raise KafkaError(
                ErrorCode.INVALID_TRANSACTION_TIMEOUT,
                f"a transaction timeout of {timeout_ms} ms is not within 1 and "
                f"{self._config.transaction_max_timeout_ms} (transaction.max.timeout.ms)",
            )
        transaction = self.transactions.get(transactional_id)
        if transaction is None:
            return self._first_producer(transactional_id, timeout_ms, ids, ticket, now_ms)
        if expected is not None and not _may_continue(expected, transaction):
            raise _fenced(transactional_id)
        if transaction.state in PREPARED:
            raise _concurrent(transactional_id)
        if transaction.state is TransactionState.ONGOING:
            if expected is not None and expected.epoch != transaction.producer_epoch:
                # Apache Kafka aborts here; but who is fenced already should not end its successor's transaction.
                raise _fenced(transactional_id)
            decision = self._record(transaction.fenced(now_ms))
            decision.refuse(ticket, ErrorCode.CONCURRENT_TRANSACTIONS, "the open transaction is aborted first: retry")
            retried_epoch = None
        else:
            producer, retried_epoch = self._next_producer(transaction, expected, ids)
            decision = self._record(transaction.initialized(producer, timeout_ms, now_ms))
            decision.answer(ticket, producer)

        def then() -> None:
            if retried_epoch is None:
                self._retried_epochs.pop(transactional_id, None)
            else:
                self._retried_epochs[transactional_id] = retried_epoch

        decision.then = then
        return decision

    def _first_producer(
        self, transactional_id: str, timeout_ms: int, ids: ProducerIds, ticket: Ticket[Producer], now_ms: int
    ) -> Decision:
        transaction = Transaction(
            transactional_id=transactional_id,
            producer_id=ids.take(),
            producer_epoch=0,
            timeout_ms=timeout_ms,
            updated_ms=now_ms,
        )
        decision = self._record(transaction)
        decision.answer(ticket, transaction.producer)
        return decision

    def _next_producer(
        self, transaction: Transaction, expected: Producer | None, ids: ProducerIds
    ) -> tuple[Producer, int | None]:
        """Whom to initialize next, and the epoch with which a retry of the same request may come."""
        current = transaction.producer
        if expected is not None and expected.epoch != current.epoch:
            retried_epoch = self._retried_epochs.get(transaction.transactional_id)
            if expected.epoch != retried_epoch:
                raise _fenced(transaction.transactional_id)
            return current, retried_epoch
        retry = None if expected is None else current.epoch
        if is_exhausted(current.epoch):
            return Producer(ids.take(), 0), retry
        return Producer(current.id, current.epoch + 1), retry

    # -- transactions

    def add_partitions(
        self,
        transactional_id: str,
        producer: Producer,
        partitions: Collection[Partition],
        client_version: int,
        ticket: Ticket[None],
        now_ms: int,
    ) -> Decision:
        """AddPartitionsToTxn and AddOffsetsToTxn: these partitions take part; the first ones begin the transaction.

        With a `client_version` of 2 the producer does not ask: partitions are added as it writes to them.
        """
        transaction = self._of_producer(transactional_id, producer)
        if transaction.state in PREPARED:
            raise _concurrent(transactional_id)
        if transaction.state is TransactionState.ONGOING and transaction.partitions.issuperset(partitions):
            decision = Decision()
        else:
            decision = self._record(transaction.extended(partitions, client_version, now_ms))
        decision.answer(ticket, None)
        return decision

    def verify_partitions(
        self, transactional_id: str, producer: Producer, partitions: Collection[Partition]
    ) -> dict[Partition, ErrorCode]:
        """Whether partitions take part: NONE or TRANSACTION_ABORTABLE for each (KIP-890, part 1)."""
        transaction = self._of_producer(transactional_id, producer)
        if transaction.state in PREPARED:
            raise _concurrent(transactional_id)
        return {
            partition: ErrorCode.NONE if partition in transaction.partitions else ErrorCode.TRANSACTION_ABORTABLE
            for partition in partitions
        }

    def end(
        self,
        transactional_id: str,
        producer: Producer,
        commit: bool,
        client_version: int,
        ids: ProducerIds,
        ticket: Ticket[Producer],
        now_ms: int,
    ) -> Decision:
        """EndTxn: answered, once the outcome is in the log, with the producer of the next transaction."""
        transaction = self.transactions.get(transactional_id)
        if transaction is None:
            raise _unknown_producer(transactional_id)
        retried = _is_retry_of_end(transaction, producer)
        if not retried:
            self._of_producer(transactional_id, producer)
        bumps_epoch = client_version >= TRANSACTIONS_V2
        agrees = transaction.state is not TransactionState.EMPTY and transaction.commits == commit
        if transaction.state in PREPARED:
            # Whoever has the epoch of the next transaction already is not talking about this one.
            if agrees or (transaction.bumps_epochs and not retried):
                raise _concurrent(transactional_id)
        elif transaction.state is TransactionState.ONGOING or (bumps_epoch and not commit and not retried):
            # With version 2 a producer may abort without knowing whether anything had begun.
            exhausted = bumps_epoch and is_exhausted(transaction.producer_epoch)
            next_producer_id = ids.take() if exhausted else NO_PRODUCER_ID
            ended = transaction.ended(commit, client_version, next_producer_id, now_ms)
            decision = self._record(ended)
            decision.answer(ticket, Producer(next_producer_id, 0) if exhausted else ended.producer)
            return decision
        elif agrees and retried is transaction.bumps_epochs:
            decision = Decision()
            decision.answer(ticket, transaction.producer)
            return decision
        raise KafkaError(
            ErrorCode.INVALID_TXN_STATE,
            f"transactional id {transactional_id!r} is in state {transaction.state.title}: "
            f"it cannot be {'committed' if commit else 'aborted'}",
        )

    def take_prepared(self, settled_offset: int) -> list[tuple[Transaction, frozenset[Partition]]]:
        """The transactions whose markers are due, and for which partitions; each once, or again after a retry.

        Only those whose outcome the log has below `settled_offset`: one that it could still lose must not be told.
        """
        settled = {
            transactional_id: partitions
            for transactional_id, (partitions, log_offset) in self._due.items()
            if log_offset < settled_offset
        }
        for transactional_id in settled:
            del self._due[transactional_id]
        return [(self.transactions[transactional_id], due) for transactional_id, due in settled.items()]

    def retry_markers(self, transaction: Transaction, partitions: frozenset[Partition], now_ms: int) -> None:
        """These partitions could not take their marker: try again in a while."""
        self._retries[transaction.transactional_id] = partitions
        timer = TransactionTimer(self.partition, TransactionTimerKind.MARKERS, transaction.transactional_id)
        self._timers.set(timer, now_ms + MARKER_RETRY_MS)

    def complete(self, transaction: Transaction, now_ms: int) -> Decision:
        """Every partition of `transaction` has its marker."""
        if self.transactions.get(transaction.transactional_id) != transaction:
            return Decision()
        decision = self._record(transaction.completed(now_ms))

        def otherwise(failed_ms: int) -> Decision:
            self.retry_markers(transaction, frozenset(), failed_ms)
            return Decision()

        decision.otherwise = otherwise
        return decision

    # -- administration

    def list_transactions(
        self, states: Collection[str], producer_ids: Collection[int], min_duration_ms: int, now_ms: int
    ) -> Iterator[Transaction]:
        """ListTransactions: those that pass all the filters; empty ones, and a negative duration, pass everything."""
        for transaction in self.transactions.values():
            if states and transaction.state.title not in states:
                continue
            if producer_ids and transaction.producer_id not in producer_ids:
                continue
            if min_duration_ms >= 0 and not 0 <= transaction.started_ms < now_ms - min_duration_ms:
                continue
            yield transaction

    def describe(self, transactional_id: str) -> Transaction:
        """DescribeTransactions. Raises TRANSACTIONAL_ID_NOT_FOUND."""
        transaction = self.transactions.get(transactional_id)
        if transaction is None:
            raise KafkaError(ErrorCode.TRANSACTIONAL_ID_NOT_FOUND, f"there is no transactional id {transactional_id!r}")
        return transaction

    # --

    def _record(self, transaction: Transaction) -> Decision:
        assert 0 <= transaction.producer_epoch <= MAX_EPOCH, "epochs are 16 bits wide and begin at 0"
        decision = Decision()
        decision.append(TransactionLogKey(transactional_id=transaction.transactional_id), transaction.recorded())
        return decision

    def _of_producer(self, transactional_id: str, producer: Producer) -> Transaction:
        transaction = self.transactions.get(transactional_id)
        if transaction is None or transaction.producer_id != producer.id:
            raise _unknown_producer(transactional_id)
        if transaction.producer_epoch != producer.epoch:
            raise _fenced(transactional_id)
        return transaction

    def _expire_ids(self, now_ms: int) -> Decision:
        decision = Decision()
        oldest_ms = now_ms - self._config.transactional_id_expiration_ms
        next_ms = now_ms + EXPIRATION_CHECK_INTERVAL_MS
        for transaction in self.transactions.values():
            busy = transaction.state is TransactionState.ONGOING or transaction.state in PREPARED
            if not busy and transaction.updated_ms <= oldest_ms:
                decision.append(TransactionLogKey(transactional_id=transaction.transactional_id), None)
                if len(decision.records) == EXPIRED_PER_BATCH:
                    next_ms = now_ms
                    break
        self._schedule_expiration(next_ms)

        def otherwise(failed_ms: int) -> Decision:
            self._schedule_expiration(failed_ms + EXPIRATION_CHECK_INTERVAL_MS)
            return Decision()

        decision.otherwise = otherwise
        return decision

    def _schedule_expiration(self, deadline_ms: int) -> None:
        self._timers.set(TransactionTimer(self.partition, TransactionTimerKind.EXPIRATION), deadline_ms)

    def _timeout(self, transactional_id: str) -> TransactionTimer:
        return TransactionTimer(self.partition, TransactionTimerKind.TIMEOUT, transactional_id)


def _may_continue(expected: Producer, transaction: Transaction) -> bool:
    """Whether a producer that asks to go on is the current one, or was until its epochs ran out under it."""
    return expected.id == transaction.producer_id or (
        expected.id == transaction.previous_producer_id and is_exhausted(expected.epoch)
    )


def _is_retry_of_end(transaction: Transaction, producer: Producer) -> bool:
    """Whether an EndTxn carries the epoch before the one that ending the transaction brought: its answer was lost."""
    if not transaction.bumps_epochs or transaction.state in (TransactionState.EMPTY, TransactionState.ONGOING):
        return False
    return producer == Producer(transaction.producer_id, transaction.producer_epoch - 1) or (
        producer.id == transaction.previous_producer_id
        and producer.epoch == MAX_EPOCH - 1
        and transaction.producer_epoch == 0
    )


def _unknown_producer(transactional_id: str) -> KafkaError:
    return KafkaError(
        ErrorCode.INVALID_PRODUCER_ID_MAPPING, f"transactional id {transactional_id!r} has another producer id, or none"
    )


def _fenced(transactional_id: str) -> KafkaError:
    return KafkaError(
        ErrorCode.PRODUCER_FENCED, f"transactional id {transactional_id!r} has been taken over by a newer producer"
    )


def _concurrent(transactional_id: str) -> KafkaError:
    return KafkaError(
        ErrorCode.CONCURRENT_TRANSACTIONS,
        f"the last transaction of {transactional_id!r} is still being completed: retry",
    )
