"""The transaction coordinator: what the handlers of the transaction APIs call.

Transactional ids live in the partitions of `__transaction_state`; the rules are in `transaction_core`. What this driver
adds is ids from the controller, and the markers: once the outcome of a transaction is in the log they go to every
partition that took part, again and again until each has taken its own, also after a restart in between.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, TypeVar

from ottla_broker.cluster.topics import TRANSACTION_STATE
from ottla_broker.coordinator.decision import Producer
from ottla_broker.coordinator.errors import OutOfProducerIds
from ottla_broker.coordinator.markers import EndOfTransaction, write_marker
from ottla_broker.coordinator.matching import Matcher
from ottla_broker.coordinator.producer_ids import ProducerIds
from ottla_broker.coordinator.records import RecordCodec
from ottla_broker.coordinator.runtime import CoordinatorRuntime
from ottla_broker.coordinator.transaction import TRANSACTIONS_V1, Partition, Transaction
from ottla_broker.coordinator.transaction_core import TransactionCore, TransactionTimer
from ottla_broker.coordinator.transaction_records import RECORD_TYPES
from ottla_wire.errors import ErrorCode, KafkaError

if TYPE_CHECKING:
    from ottla_broker.broker import Broker
    from ottla_broker.log.partition import PartitionLog

R = TypeVar("R")

logger = logging.getLogger(__name__)

# A partition that answers a marker so needs none: its topic is gone, and the records with it.
_NO_MARKER_NEEDED = frozenset({ErrorCode.UNKNOWN_TOPIC_OR_PARTITION})
# A newer producer, or a newer coordinator, has ended this transaction already.
_OVERTAKEN = frozenset({ErrorCode.INVALID_PRODUCER_EPOCH, ErrorCode.TRANSACTION_COORDINATOR_FENCED})


class TransactionCoordinator:
    """The transactional ids whose partition of `__transaction_state` this node leads."""

    def __init__(self, broker: "Broker") -> None:
        self._broker = broker
        self._ids = ProducerIds()
        self._refill = asyncio.Lock()
        self._matcher = Matcher()
        self._runtime: CoordinatorRuntime[TransactionCore, TransactionTimer] = CoordinatorRuntime(
            broker,
            TRANSACTION_STATE,
            RecordCodec(RECORD_TYPES),
            lambda partition, timers: TransactionCore(partition, broker.config, timers),
            after=self._send_markers,
        )

    def start(self) -> None:
        """Load the transactional ids from the log; call it when the logs are open and `broker.groups` has started."""
        self._runtime.start()

    async def stop(self) -> None:
        await self._runtime.stop()

    def drop(self) -> None:
        """The topic was deleted, and with it all transactional ids."""
        self._runtime.drop()

    async def locate(self, transactional_id: str) -> int:
        """FindCoordinator: the partition of `__transaction_state` of an id; creates the topic if need be."""
        return await self._runtime.locate(transactional_id)

    # -- producers

    async def init_producer_id(
        self, transactional_id: str | None, timeout_ms: int, expected: Producer | None
    ) -> Producer:
        """InitProducerId: without a transactional id, a producer id of its own for every call."""
        if transactional_id == "":
            raise KafkaError(ErrorCode.INVALID_REQUEST, "the transactional id is empty")

        async def initialize() -> Producer:
            if transactional_id is None:
                return Producer(self._ids.take(), 0)
            return await self._runtime.submit(
                transactional_id,
                lambda core, ticket, now_ms: core.init_producer_id(
                    transactional_id, timeout_ms, expected, self._ids, ticket, now_ms
                ),
            )

        return await self._with_ids(initialize)

    async def _with_ids(self, decide: Callable[[], Awaitable[R]]) -> R:
        """What `decide` returns. If it needs an id and none is at hand, it has decided nothing, and is asked again.

        A new block is a write to the metadata log, flushed, which may take long where the disk is busy: who goes on
        with the id that it has, such as a producer that takes over after a restart, must not wait for that.
        """
        while True:
            try:
                return await decide()
            except OutOfProducerIds:
                async with self._refill:
                    if not self._ids:
                        self._ids.refill(await self._broker.allocate_producer_ids())

    # -- transactions

    async def add_partitions(
        self,
        transactional_id: str,
        producer: Producer,
        partitions: Collection[Partition],
        *,
        client_version: int = TRANSACTIONS_V1,
    ) -> None:
        """AddPartitionsToTxn and AddOffsetsToTxn; with `client_version` 2 also a write that brings its partition."""
        _check_transactional_id(transactional_id)
        await self._runtime.submit(
            transactional_id,
            lambda core, ticket, now_ms: core.add_partitions(
                transactional_id, producer, partitions, client_version, ticket, now_ms
            ),
        )

    def verify_partitions(
        self, transactional_id: str, producer: Producer, partitions: Collection[Partition]
    ) -> dict[Partition, ErrorCode]:
        """Whether partitions take part in the producer's transaction: NONE or TRANSACTION_ABORTABLE for each."""
        _check_transactional_id(transactional_id)
        return self._runtime.read(
            transactional_id, lambda core: core.verify_partitions(transactional_id, producer, partitions)
        )

    async def end(self, transactional_id: str, producer: Producer, *, commit: bool, client_version: int) -> Producer:
        """EndTxn: returns once the outcome is in the log; the producer of the next transaction."""
        _check_transactional_id(transactional_id)
        return await self._with_ids(
            lambda: self._runtime.submit(
                transactional_id,
                lambda core, ticket, now_ms: core.end(
                    transactional_id, producer, commit, client_version, self._ids, ticket, now_ms
                ),
            )
        )

    # -- markers

    def _send_markers(self, core: TransactionCore, settled_offset: int) -> None:
        for transaction, partitions in core.take_prepared(settled_offset):
            end = EndOfTransaction(
                transaction.producer_id,
                transaction.producer_epoch,
                transaction.commits,
                self._runtime.leader_epoch(core),
            )
            missing = frozenset(partition for partition in partitions if not self._write_marker(partition, end))
            if missing:
                core.retry_markers(transaction, missing, self._runtime.now())
            elif unflushed := self._unflushed(transaction):
                self._runtime.spawn(self._complete_when_flushed(core, transaction, unflushed))
            else:
                self._runtime.carry_out(core, core.complete(transaction, self._runtime.now()))

    def _write_marker(self, partition: Partition, end: EndOfTransaction) -> bool:
        """Whether the partition has its marker now, or needs none any more."""
        try:
            write_marker(self._broker, partition, end)
        except KafkaError as error:
            if error.code not in _NO_MARKER_NEEDED:
                logger.warning("the marker of producer %d for %s-%d: %s", end.producer_id, *partition, error.message)
            return error.code in _NO_MARKER_NEEDED or error.code in _OVERTAKEN
        return True

    def _unflushed(self, transaction: Transaction) -> "list[PartitionLog]":
        """Partitions whose settings ask for a flush. Were a marker lost after COMPLETE, nobody would send it again."""
        now_ms = self._broker.clock()
        logs = (self._broker.logs.get(*partition) for partition in transaction.partitions)
        return [log for log in logs if log is not None and log.flush_is_due(now_ms)]

    async def _complete_when_flushed(
        self, core: TransactionCore, transaction: Transaction, unflushed: "list[PartitionLog]"
    ) -> None:
        try:
            await asyncio.gather(*map(self._broker.logs.flush, unflushed))
        except KafkaError as error:
            logger.warning("transactional id %r: %s", transaction.transactional_id, error.message)
            core.retry_markers(transaction, frozenset(), self._runtime.now())
        else:
            self._runtime.carry_out(core, core.complete(transaction, self._runtime.now()))

    # -- administration

    @property
    def loading(self) -> int:
        """Partitions of `__transaction_state` that are still being loaded."""
        return self._runtime.loading

    @property
    def unloadable(self) -> int:
        """Partitions that could not be loaded."""
        return self._runtime.unloadable

    def count(self) -> Counter[str]:
        """How many transactional ids there are, by the state of their transaction."""
        return Counter(
            transaction.state.title
            for core in self._runtime.active_cores()
            for transaction in core.transactions.values()
        )

    async def list_transactions(
        self, states: Collection[str], producer_ids: Collection[int], min_duration_ms: int, id_regex: str
    ) -> list[Transaction]:
        """ListTransactions: those that pass all the filters; empty ones, and a negative duration, pass everything.

        Raises INVALID_REGULAR_EXPRESSION.
        """
        now_ms = self._runtime.now()
        found = [
            transaction
            for core in self._runtime.cores()
            for transaction in core.list_transactions(states, producer_ids, min_duration_ms, now_ms)
        ]
        if not id_regex:
            return found
        matched = await self._matcher.matching(id_regex, [transaction.transactional_id for transaction in found])
        return [transaction for transaction in found if transaction.transactional_id in matched]

    def describe(self, transactional_id: str) -> Transaction:
        """DescribeTransactions. Raises TRANSACTIONAL_ID_NOT_FOUND."""
        _check_transactional_id(transactional_id)
        return self._runtime.read(transactional_id, lambda core: core.describe(transactional_id))


def _check_transactional_id(transactional_id: str) -> None:
    if not transactional_id:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "the transactional id is empty")
