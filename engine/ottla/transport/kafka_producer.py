"""The producer of a Kafka transport: records, their delivery, and transactions.

The event loop hands records over itself; what waits for the broker is done on the transport's thread for producer
calls, where also delivery reports are taken while the loop does not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, repeat
from threading import Lock
from typing import Any, TypeVar

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, Producer

from ottla.transport.calls import CallThread
from ottla.transport.contract import Membership, OutputRecord, TopicPartition
from ottla.transport.errors import (
    DeliveryError,
    FatalTransportError,
    ProducerFencedError,
    TransactionAbortedError,
    TransportError,
)
from ottla.transport.kafka_deliveries import Deliveries, Run
from ottla.transport.kafka_log import ClientLog
from ottla.transport.kafka_messages import aborted, explained, kafka_error, transport_error
from ottla.transport.kafka_settings import KafkaSettings, Settings

log = logging.getLogger("ottla.kafka")

T = TypeVar("T")

_PUSH_S = 0.01
"""How long a push may hold the producer's thread: about as long as a broker nearby takes to answer."""
_RAISED_AMONG_REPORTS = "the producer has failed; its next call says why"
"""confluent-kafka raises a fatal error from within a call for delivery reports, and then makes the other callbacks
with the exception set, which Python takes for an error of its own."""


class KafkaProducer:
    """Writes for one worker, exactly once in transactions. Its coroutines are those of `Transport`; `calls` is the
    thread on which it waits.
    """

    def __init__(self, settings: KafkaSettings, callbacks: Settings, calls: CallThread) -> None:
        self._settings = settings
        self._callbacks = callbacks
        self._calls = calls
        self._patience_s = settings.transaction_timeout_ms / 1000
        self._client = self._make_client()
        self._in_transaction = False
        self._in_doubt = False
        self._deliveries = Deliveries()
        # One thread at a time takes the delivery reports.
        self._serving = Lock()
        self._producing = asyncio.Lock()
        self._push_waits = False
        self._failure: BaseException | None = None

    def _make_client(self) -> Producer:
        return Producer({**self._settings.producer(), **self._callbacks}, logger=ClientLog())

    def start(self, doing: str = "starting the transactional producer") -> None:
        """Exactly once: makes the coordinator abort what an earlier producer of the same id has open. Blocks."""
        if self._settings.exactly_once:
            self._patiently(self._client.init_transactions, doing)

    def give_up(self) -> None:
        """What is not delivered yet never will be, and nothing waits for it any more."""
        self._client.purge(blocking=False)

    def close(self, timeout_s: float) -> None:
        """Aborts what is open, unless it may be committed already. Blocks, for twice the time at most."""
        try:
            if self._in_transaction and not self._in_doubt:
                self._client.abort_transaction(timeout_s)
            self._client.flush(timeout_s)
        except KafkaException as failure:
            # An open transaction is aborted by the next producer of this id as well, or by its timeout.
            log.warning("closing the producer: %s", kafka_error(failure).str())

    async def produce(self, records: Sequence[OutputRecord]) -> None:
        if not records:
            return
        async with self._producing:
            await self._produce(records)

    async def _produce(self, records: Sequence[OutputRecord]) -> None:
        self._begin_transaction()
        produce: Any = self._client.produce
        # A transaction fails as a whole when one of its records does. So reports cost their time only at least once,
        # and for the last record in each addressed partition, whose offset is the commit's.
        run = self._deliveries.run
        delivered = None if self._settings.exactly_once else run.report
        last = {(record.topic, record.partition): record for record in records if record.partition is not None}
        for record in records:
            partition, report = record.partition, delivered
            if partition is None:
                partition = -1
            elif last[record.topic, partition] is record:
                report = run.report_offset
            try:
                produce(
                    record.topic, record.value, record.key, partition, report, None, record.timestamp_ms, record.headers
                )
            except BufferError:
                await self._produce_when_there_is_room(record, partition, report)
            except KafkaException as failure:
                raise await self._not_taken(record, kafka_error(failure)) from failure
        run.given += len(records)
        self.serve(0)

    async def produce_changes(
        self, where: TopicPartition, changes: Sequence[tuple[bytes, bytes | None]], timestamp_ms: int
    ) -> None:
        if changes:
            async with self._producing:
                await self._produce_changes(where, changes, timestamp_ms)

    async def _produce_changes(
        self, where: TopicPartition, changes: Sequence[tuple[bytes, bytes | None]], timestamp_ms: int
    ) -> None:
        """Most records of an app with state go this way: as many as there are events."""
        self._begin_transaction()
        produce: Any = self._client.produce
        topic, partition = where
        run = self._deliveries.run
        delivered = None if self._settings.exactly_once else run.report
        reports = chain(repeat(delivered, len(changes) - 1), [run.report_offset])
        for (key, value), report in zip(changes, reports, strict=True):
            try:
                produce(topic, value, key, partition, report, None, timestamp_ms)
            except BufferError:
                record = OutputRecord(topic, key, value, timestamp_ms)
                await self._produce_when_there_is_room(record, partition, report)
            except KafkaException as failure:
                record = OutputRecord(topic, key, value, timestamp_ms)
                raise await self._not_taken(record, kafka_error(failure)) from failure
        run.given += len(changes)
        self.serve(0)

    async def _produce_when_there_is_room(self, record: OutputRecord, partition: int, report: Any) -> None:
        produce: Any = self._client.produce
        deadline = time.monotonic() + self._patience_s
        while time.monotonic() < deadline:
            await self._calls.run(self.serve, 0.1)
            try:
                produce(
                    record.topic, record.value, record.key, partition, report, None, record.timestamp_ms, record.headers
                )
                return
            except BufferError:
                continue
            except KafkaException as failure:
                raise await self._not_taken(record, kafka_error(failure)) from failure
        raise TransactionAbortedError(f"the broker has taken no records for {self._patience_s:g} s")

    async def _not_taken(self, record: OutputRecord, error: KafkaError) -> TransportError:
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            size = len(record.value or b"") + len(record.key or b"")
            return TransportError(
                f"a record of {size} bytes for topic {record.topic!r} is larger than message.max.bytes allows"
            )
        if not self._settings.exactly_once or error.code() not in (KafkaError._STATE, KafkaError._FATAL):
            return transport_error(error, f"writing to topic {record.topic!r}")
        # The transaction has failed meanwhile, or the producer was fenced in it, and an attempt to commit is how the
        # client says which.
        try:
            await self._calls.run(self._patiently, self._client.commit_transaction, "the transaction")
        except TransportError as why:
            return why
        return TransactionAbortedError(f"the transaction failed: {error.str()}")

    def serve(self, timeout_s: float) -> None:
        """Takes delivery reports, unless another thread does. Raises the producer's fatal error, if it has one, and
        what a push has raised.
        """
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if not self._serving.acquire(blocking=False):
            return
        try:
            self._client.poll(timeout_s)
        except KafkaException as failure:
            raise transport_error(kafka_error(failure), "writing to the broker") from failure
        except SystemError:
            log.debug(_RAISED_AMONG_REPORTS)
        finally:
            self._serving.release()

    def push(self) -> None:
        if not self._settings.exactly_once and not self._push_waits:
            self._push_waits = True
            self._calls.hand_over(self._push)

    def _push(self) -> None:
        """It is while it is flushed that the producer does not wait for more to send at once (`linger.ms`)."""
        # From here on, not from the end on: what is produced just when the flush is over needs another.
        self._push_waits = False
        try:
            self._flush(_PUSH_S)
        except BaseException as failure:
            self._failure = failure

    def _begin_transaction(self) -> None:
        if self._settings.exactly_once and not self._in_transaction:
            try:
                self._client.begin_transaction()
            except KafkaException as failure:
                raise transport_error(kafka_error(failure), "beginning a transaction") from failure
            self._in_transaction = True

    async def flush(self) -> None:
        if self._settings.exactly_once:
            await self._calls.run(self._flush, self._patience_s)
            return
        # Not in the middle of what is being produced, of which some would be counted nowhere.
        async with self._producing:
            run = self._deliveries.cut()
        await self._calls.run(self._settle_deliveries, run)

    async def commit(self, positions: list[confluent_kafka.TopicPartition], membership: Membership | None) -> None:
        """Commits the transaction that is open, with these offsets (KIP-447). Without any there may be none open."""
        if not positions and not self._in_transaction:
            return
        self._begin_transaction()
        await self._calls.run(self._commit_transaction, positions, membership)

    def take_written(self) -> dict[TopicPartition, int]:
        """What `Transport.commit` returns."""
        return self._deliveries.take_written()

    def _commit_transaction(
        self, positions: list[confluent_kafka.TopicPartition], membership: Membership | None
    ) -> None:
        producer = self._client
        # The records first: once the group has taken the offsets, and the worker could be cut off and the offsets still
        # be committed, all that goes with them is in the logs, where whoever comes next waits for the outcome. It is
        # flush that brings the deliveries' reports; commit_transaction would only wait for them.
        self._flush(self._patience_s)
        if positions:
            self._patiently(partial(producer.send_offsets_to_transaction, positions, membership), "adding the offsets")
        self._end_transaction()

    def _end_transaction(self) -> None:
        """Commits. Who waited for that may be gone by now: what has become of the transaction is noted here."""
        self._in_doubt = True
        try:
            self._patiently(self._client.commit_transaction, "committing the transaction")
        except (TransactionAbortedError, FatalTransportError):
            self._in_doubt = False
            raise
        self._in_transaction = self._in_doubt = False

    def _settle_deliveries(self, run: Run) -> None:
        """Waits for the reports on a run, whatever else is produced meanwhile. Raises `DeliveryError`."""
        deadline = time.monotonic() + self._patience_s
        # A producer that has failed may have reported on nothing (`_RAISED_AMONG_REPORTS`), and has nothing left.
        while not run.is_delivered and len(self._client) and time.monotonic() < deadline:
            self._flush(_PUSH_S)
        self._deliveries.check()
        if not run.is_delivered:
            waiting = run.given - run.reported
            raise DeliveryError(f"{waiting} records were not delivered within {self._patience_s:g} s")

    def _flush(self, timeout_s: float) -> None:
        """Sends at once what there is, and waits until all records are delivered or given up, or the time is over."""
        try:
            with self._serving:
                self._client.flush(timeout_s)
        except KafkaException as failure:
            raise transport_error(kafka_error(failure), "delivering records") from failure
        except SystemError:
            log.debug(_RAISED_AMONG_REPORTS)

    async def abort(self) -> None:
        if self._settings.exactly_once:
            if self._in_transaction:
                try:
                    await self._calls.run(self._patiently, self._client.abort_transaction, "aborting the transaction")
                except ProducerFencedError as fenced:
                    log.info("what was open is aborted already: %s", fenced)
            self._in_transaction = self._in_doubt = False
        else:
            self._client.purge(in_flight=False)
            await self._calls.run(self._flush, self._patience_s)
        self._deliveries = Deliveries()

    async def renew(self) -> None:
        if self._settings.exactly_once:
            await self._calls.run(self._renew)
        else:
            await self.abort()

    async def batch_at_most(self, size: int) -> None:
        if size < int(self._settings.producer()["batch.size"]):
            log.info("batches have %d bytes at most from now on", size)
            self._settings = replace(self._settings, options={**self._settings.options, "batch.size": size})
            await self._calls.run(self._renew)

    def _renew(self) -> None:
        self._client = self._make_client()
        self._in_transaction = self._in_doubt = False
        self._deliveries = Deliveries()
        self.start()

    def _patiently(self, call: Callable[[float], T], doing: str) -> T:
        """Repeats a transactional call while its errors are such that the same call may succeed, within a bound.

        A commit whose outcome is not known when the time is over raises the plain `TransportError`: the worker must
        stop and ask the broker anew, since neither committing again nor aborting would be right.
        """
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return call(max(deadline - time.monotonic(), 0.1))
            except KafkaException as failure:
                error = kafka_error(failure)
                if error.txn_requires_abort():
                    raise aborted(error, self._deliveries.failure or f"{doing} failed: {explained(error)}") from failure
                if not error.retriable() or time.monotonic() >= deadline:
                    raise transport_error(error, doing) from failure
                time.sleep(0.02)
