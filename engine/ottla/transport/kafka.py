"""The transport over Apache Kafka, Redpanda or an Ottla broker, by confluent-kafka (librdkafka).

Three threads besides librdkafka's own (`calls.py`): one makes all consumer calls, one the producer and admin calls that
wait, and one asks what may take as long as a broker is away, since nothing waits for it: how the topics are, to delete
records. The event loop never waits for the network, and hands records to the producer itself.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import confluent_kafka
from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from ottla.transport import kafka_admin
from ottla.transport.calls import CallThread
from ottla.transport.contract import (
    Follower,
    GroupListener,
    Membership,
    Message,
    OffsetRange,
    OutputRecord,
    Polled,
    TopicPartition,
    TopicSpec,
    TopicState,
)
from ottla.transport.errors import (
    FatalTransportError,
    OffsetsUnknownError,
    TransportError,
)
from ottla.transport.kafka_log import ClientLog
from ottla.transport.kafka_messages import kafka_error, sort_messages, transport_error
from ottla.transport.kafka_producer import KafkaProducer
from ottla.transport.kafka_reach import ClientErrors
from ottla.transport.kafka_reader import KafkaFollower, read_ranges
from ottla.transport.kafka_settings import KafkaSettings, Settings

log = logging.getLogger("ottla.kafka")

_STOP_TIMEOUT_S = 10.0
_LOOK_S = 0.25
_ENDED_WITHIN_S = 2.0
"""So long after its session timeout a group may still have a member that is gone."""


class KafkaTransport:
    """A `Transport` for one worker. With `settings.exactly_once` all it writes is in transactions (KIP-447)."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._patience_s = settings.transaction_timeout_ms / 1000
        # Within that time of a commit's beginning the group cannot have gone on without this member.
        self._sure_for_s = int(settings.consumer()["session.timeout.ms"]) / 2000
        self._heard_at = -math.inf
        self._errors = ClientErrors(settings.bootstrap, tells=True)
        self._callbacks: Settings = {"error_cb": self._errors.told}
        try:
            self._admin = AdminClient({**settings.admin(), **self._callbacks}, logger=ClientLog())
            self._consumer = self._make_consumer()
            self._producer_calls = CallThread("ottla-producer")
            self._producer = KafkaProducer(settings, self._callbacks, self._producer_calls)
        except KafkaException as failure:
            raise TransportError(f"the Kafka settings are refused: {kafka_error(failure).str()}") from failure
        self._consumer_calls = CallThread("ottla-consumer")
        self._looks = CallThread("ottla-looks")
        self._loop: asyncio.AbstractEventLoop
        self._listener: GroupListener | None = None
        self._topics: Sequence[str] = ()
        self._assigned: set[TopicPartition] = set()
        self._member_id: str | None = None
        self._reading: set[TopicPartition] = set()
        # What is to be read or paused from the next poll on: consumer calls of two threads would block each other.
        self._changes: list[Callable[[], None]] = []
        self._failure: BaseException | None = None
        self._stopped = False

    def _make_consumer(self) -> Consumer:
        return Consumer({**self._settings.consumer(), **self._callbacks}, logger=ClientLog())

    @property
    def worker_id(self) -> str:
        return self._settings.worker_id

    # -- life

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._producer_calls.run(self._connect)

    def _connect(self) -> None:
        settings = self._settings
        try:
            self._admin.list_topics(timeout=settings.connect_timeout_s)
        except KafkaException as failure:
            self._admin.poll(0)
            raise TransportError(self._errors.unanswered()) from failure
        self._producer.start()

    async def stop(self, *, leave: bool = True) -> None:
        if self._stopped:
            return
        self._stopped, self._listener = True, None
        self._producer.give_up()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._producer_calls.run(self._producer.close, _STOP_TIMEOUT_S / 2)
                await self._consumer_calls.run(self._leave if leave else self._close_consumer)
                await self._consumer_calls.stop()
                await self._producer_calls.stop()
                await self._looks.stop()
        except TimeoutError:
            # A call that waits for the broker cannot be taken back; the process does not wait for it.
            log.warning("the broker did not answer within %g s; its clients are left as they are", _STOP_TIMEOUT_S)

    def _close_consumer(self) -> None:
        """Closes the consumer, which as a static member is expected back.

        What the group has told it is heard first. An assignment that is heard while the consumer closes ends
        librdkafka's part in the group, and the revocation behind it then waits for an answer for ever, in a call that
        holds the interpreter's lock: the whole process would stand still.
        """
        try:
            self._consumer.incremental_unassign(_kafka_partitions(self._reading))
            self._consumer.poll(0)  # no messages are before it: nothing is read any more
        except KafkaException as failure:
            # As of one that its successor has fenced: it is no member any more.
            log.warning("leaving the group: %s", kafka_error(failure).str())
        finally:
            self._reading.clear()
            self._consumer.close()

    def _leave(self) -> None:
        """Leaves the group, so that others have the tasks at once, and closes the consumer.

        Closing alone would not do: a static member (KIP-345) that closes is expected back within its session timeout.
        One that gives up its subscription before leaves.
        """
        try:
            self._consumer.incremental_unassign(_kafka_partitions(self._reading))
            self._reading.clear()
            self._consumer.unsubscribe()
            deadline = time.monotonic() + _STOP_TIMEOUT_S
            self._consumer.poll(0)  # what it was given meanwhile: until that is heard it does not leave
            while self._assigned and time.monotonic() < deadline:
                self._consumer.poll(0.05)
        except KafkaException as failure:
            log.warning("leaving the group: %s", kafka_error(failure).str())
        finally:
            self._close_consumer()

    # -- topics

    async def topics(self) -> dict[str, int]:
        return await self._looks.run(kafka_admin.topics, self._admin)

    async def partition_counts(self, topics: Iterable[str]) -> dict[str, int]:
        return await self._producer_calls.run(kafka_admin.partition_counts, self._admin, list(topics))

    async def topic_states(self, topics: Iterable[str]) -> dict[str, TopicState]:
        return await self._looks.run(kafka_admin.topic_states, self._admin, list(topics))

    async def create_topics(self, specs: Iterable[TopicSpec]) -> None:
        await self._producer_calls.run(kafka_admin.create_topics, self._admin, list(specs))

    async def offset_ranges(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, OffsetRange]:
        return await self._producer_calls.run(kafka_admin.offset_ranges, self._admin, list(partitions))

    async def offsets_at(
        self, partitions: Iterable[TopicPartition], where: Literal["latest"] | int
    ) -> dict[TopicPartition, int]:
        return await self._producer_calls.run(kafka_admin.offsets_at, self._admin, list(partitions), where)

    async def configs(self, topics: Iterable[str]) -> dict[str, Mapping[str, str | None]]:
        return await self._producer_calls.run(kafka_admin.topic_configs, self._admin, list(topics))

    async def delete_records(self, before: Mapping[TopicPartition, int]) -> None:
        await self._looks.run(kafka_admin.delete_records, self._admin, before)

    # -- reading

    async def subscribe(self, topics: Sequence[str], listener: GroupListener) -> None:
        self._listener, self._topics = listener, topics
        self._consumer.subscribe(
            list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    async def rejoin(self) -> None:
        listener, self._listener = self._listener, None
        await self._consumer_calls.run(self._close_consumer)
        self._consumer = self._make_consumer()
        self._assigned.clear()
        self._member_id = None
        self._changes.clear()
        self._failure = None
        patience_s = self._settings.session_timeout_ms / 1000 + _ENDED_WITHIN_S
        asked_at = time.monotonic()
        deadline = asked_at + patience_s
        while self.worker_id in await self.members():
            now = time.monotonic()
            if now - asked_at > 2 * _LOOK_S:
                # The broker was away, it seems: since it is back all sessions have begun anew.
                deadline = now + patience_s
            if now > deadline:
                raise FatalTransportError(
                    f"another worker with the worker id {self.worker_id} is running: two cannot share one id, nor the "
                    "state directory that it is kept in"
                )
            await asyncio.sleep(_LOOK_S)
            asked_at = time.monotonic()
        if listener is not None:
            await self.subscribe(self._topics, listener)

    async def membership(self) -> Membership:
        found: Membership = await self._consumer_calls.run(self._consumer.consumer_group_metadata)
        return found

    async def members(self) -> set[str]:
        return await self._producer_calls.run(kafka_admin.group_members, self._admin, self._settings.app_id)

    async def fence(self, worker_id: str) -> None:
        if self._settings.exactly_once:
            settings = replace(self._settings, worker_id=worker_id)
            other = KafkaProducer(settings, {}, self._producer_calls)
            await self._producer_calls.run(other.start, f"fencing worker {worker_id}")

    async def poll(self, max_messages: int, timeout_s: float) -> Polled:
        self._producer.serve(0)  # what it raises must not cost messages that were taken
        changes, self._changes = self._changes, []
        taken = await self._consumer_calls.run(self._take, max_messages, timeout_s, changes)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return sort_messages(taken) if taken else Polled()

    def _take(
        self, max_messages: int, timeout_s: float, changes: list[Callable[[], None]]
    ) -> list[confluent_kafka.Message]:
        """What is in the local queue, at once; else the first message that comes, and what came with it."""
        consumer = self._consumer
        try:
            for change in changes:
                change()
            taken = consumer.consume(max_messages, 0)
            if not taken and (first := consumer.poll(timeout_s)) is not None:
                taken = [first, *consumer.consume(max_messages - 1, 0)]
        except KafkaException as failure:
            raise transport_error(kafka_error(failure), "reading from the broker") from failure
        return taken

    def start_reading(self, positions: Mapping[TopicPartition, int]) -> None:
        def change() -> None:
            self._consumer.incremental_assign(_kafka_partitions(positions, positions))
            # librdkafka keeps a partition paused that was unassigned meanwhile.
            self._consumer.resume(_kafka_partitions(positions))
            self._reading |= positions.keys()

        if positions:
            self._changes.append(change)

    def stop_reading(self, partitions: Collection[TopicPartition]) -> None:
        def change() -> None:
            self._consumer.incremental_unassign(_kafka_partitions(partitions))
            self._reading.difference_update(partitions)

        if partitions:
            self._changes.append(change)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        paused = list(partitions)
        self._changes.append(lambda: self._consumer.pause(_kafka_partitions(self._reading.intersection(paused))))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        resumed = list(partitions)
        self._changes.append(lambda: self._consumer.resume(_kafka_partitions(self._reading.intersection(resumed))))

    async def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._consumer_calls.run(self._committed, list(partitions))

    def _committed(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        try:
            found = self._consumer.committed(_kafka_partitions(partitions), timeout=self._patience_s)
        except KafkaException as failure:
            raise transport_error(kafka_error(failure), "reading the committed offsets") from failure
        for each in found:
            if each.error is not None:
                raise transport_error(each.error, f"reading the committed offset of {each.topic}[{each.partition}]")
        return {TopicPartition(each.topic, each.partition): each.offset for each in found if each.offset >= 0}

    async def known_ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return await self._consumer_calls.run(self._known_ends, list(partitions))

    def _known_ends(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        found = {}
        for where in partitions:
            _, end = self._consumer.get_watermark_offsets(confluent_kafka.TopicPartition(*where), cached=True)
            if end >= 0:
                found[where] = end
        return found

    def read(
        self, ranges: Mapping[TopicPartition, OffsetRange]
    ) -> AsyncGenerator[dict[TopicPartition, list[Message]], None]:
        return read_ranges(self._settings, ranges)

    def follower(self) -> Follower:
        return KafkaFollower(self._settings)

    # -- rebalancing; librdkafka calls these on the consumer thread, inside `_take`. None assigns what the group says:
    # -- what is read is said by `start_reading`. Something must be assigned, even if nothing, or the client would.

    def _on_assign(self, consumer: Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
        # Before anything is assigned: the client joins no newer generation until then.
        membership = consumer.consumer_group_metadata()
        member_id = consumer.memberid()
        consumer.incremental_assign([])
        # Who had no partitions is not told that it was given up meanwhile, and is another member now.
        if self._listener is not None and self._member_id not in (None, member_id):
            self._tell(self._listener.lost())
        self._member_id = member_id
        self._assigned |= {TopicPartition(each.topic, each.partition) for each in partitions}
        if self._listener is not None:
            self._tell(self._listener.joined(sorted(self._assigned), membership))

    def _on_revoke(self, consumer: Consumer, partitions: list[confluent_kafka.TopicPartition]) -> None:
        consumer.incremental_unassign([])
        self._assigned -= {TopicPartition(each.topic, each.partition) for each in partitions}

    def _on_lost(self, consumer: Consumer, _: list[confluent_kafka.TopicPartition]) -> None:
        consumer.incremental_unassign([])
        self._assigned.clear()
        self._member_id = None
        if self._listener is not None:
            self._tell(self._listener.lost())

    def _tell(self, telling: Coroutine[Any, Any, None]) -> None:
        """Runs it on the event loop and waits for it; what it raises is raised by the `poll` under way."""
        try:
            self._consumer_calls.wait_for(telling, self._loop)
        except BaseException as failure:
            self._failure = failure

    # -- writing

    async def produce(self, records: Sequence[OutputRecord]) -> None:
        await self._producer.produce(records)

    async def produce_changes(
        self, where: TopicPartition, changes: Sequence[tuple[bytes, bytes | None]], timestamp_ms: int
    ) -> None:
        await self._producer.produce_changes(where, changes, timestamp_ms)

    def push(self) -> None:
        self._producer.push()

    # -- committing

    async def flush(self) -> None:
        await self._producer.flush()

    async def confirm(self, offsets: Mapping[TopicPartition, int]) -> None:
        if offsets and time.monotonic() - self._heard_at > self._sure_for_s:
            await self._consumer_calls.run(self._commit_offsets, _kafka_partitions(offsets, offsets))

    async def commit(
        self, offsets: Mapping[TopicPartition, int], membership: Membership | None = None
    ) -> dict[TopicPartition, int]:
        positions = _kafka_partitions(offsets, offsets)
        if self._settings.exactly_once:
            if positions and membership is None:
                membership = await self.membership()
            await self._producer.commit(positions, membership)
        else:
            await self._producer.flush()
            if positions:
                await self._consumer_calls.run(self._commit_offsets, positions)
        return self._producer.take_written()

    def _commit_offsets(self, positions: list[confluent_kafka.TopicPartition]) -> None:
        began = time.monotonic()
        try:
            self._consumer.commit(offsets=positions, asynchronous=False)
        except KafkaException as failure:
            error = kafka_error(failure)
            if error.fatal():
                raise transport_error(error, "committing offsets") from failure
            # Whatever the error: the client has tried more than once, and it is that of the last time.
            raise OffsetsUnknownError(f"committing offsets failed: {error.str()}") from failure
        self._heard_at = began

    async def abort(self) -> None:
        await self._producer.abort()

    async def batch_at_most(self, size: int) -> None:
        await self._producer.batch_at_most(size)

    async def renew(self) -> None:
        await self._producer.renew()


def _kafka_partitions(
    partitions: Iterable[TopicPartition], offsets: Mapping[TopicPartition, int] | None = None
) -> list[confluent_kafka.TopicPartition]:
    if offsets is None:
        return [confluent_kafka.TopicPartition(*where) for where in partitions]
    return [confluent_kafka.TopicPartition(*where, offsets[where]) for where in partitions]
