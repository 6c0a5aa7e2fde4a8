"""The driver of cluster metadata: decide, append, replay, publish, reply.

One decision is made at a time, against an image that holds every decision before it. Its records are appended to the
`__cluster_metadata` log and forced to disk in a thread; then they are replayed into the image, the broker acts on what
has changed, and only then is the caller answered. A single node is a quorum of one; where there are more, replication
takes its place between append and replay.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from ottla_broker.cluster.image import ClusterImage, PartitionState, ResourceType, TopicState
from ottla_broker.cluster.records import (
    ConfigRecord,
    MetadataRecord,
    PartitionChangeRecord,
    PartitionRecord,
    RemoveTopicRecord,
    decode_record,
    encode_record,
)
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.partition import Origin, PartitionLog
from ottla_wire.errors import KafkaError
from ottla_wire.records import NewRecord, build_batch, iter_batches

T = TypeVar("T")

Decision = tuple[list[MetadataRecord], T]

# The quorum of one has had one leader.
LEADER_EPOCH = 1
_READ_BYTES = 1024 * 1024


class Changes(msgspec.Struct):
    """What a decision has changed, for those who must act on it. Removed topics are as they were."""

    created: list[PartitionState] = []
    elected: list[PartitionState] = []
    removed: list[TopicState] = []
    configured_topics: set[str] = set()
    brokers_configured: bool = False


class _Pending(NamedTuple):
    decide: Callable[[], Decision[Any]]
    reply: asyncio.Future[Any]


class MetadataLog:
    """Owns the metadata log and the image."""

    def __init__(
        self,
        log: PartitionLog,
        flush: Callable[[PartitionLog], Awaitable[None]],
        image: ClusterImage,
        clock: Callable[[], int],
        publish: Callable[[Changes], Awaitable[None]],
    ) -> None:
        self.image = image
        self._log = log
        self._flush = flush
        self._clock = clock
        self._publish = publish
        self._pending: asyncio.Queue[_Pending] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    @property
    def end_offset(self) -> int:
        """The offset that the next record will get."""
        return self._log.log_end_offset

    def replay(self) -> set[uuid.UUID]:
        """Bring the image up to the end of the log; the ids of the topics that were ever deleted. Called once, before
        `start`.

        Raises UnknownRecord or MalformedMessage for a log that this version cannot read, CorruptFile for one that is
        damaged.
        """
        deleted: set[uuid.UUID] = set()
        self._log.update_high_watermark(self._log.log_end_offset)
        offset = self._log.log_start_offset
        while offset < self._log.log_end_offset:
            region = self._log.read(offset, _READ_BYTES).region
            assert region is not None
            for batch in iter_batches(self._log.read_bytes(region)):
                try:
                    batch.validate()
                except KafkaError as error:
                    raise CorruptFile(f"The metadata log {self._log.directory} is damaged: {error}") from error
                if not batch.is_control:
                    for stored in batch.records():
                        assert stored.value is not None
                        record = decode_record(stored.value)
                        self.image.replay(record, stored.offset)
                        if isinstance(record, RemoveTopicRecord):
                            deleted.add(record.topic_id)
                offset = batch.next_offset
        return deleted

    def start(self) -> None:
        """Take decisions from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Take no more decisions; those under way end first."""
        if self._task is not None:
            await self._pending.join()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def submit(self, decide: Callable[[], Decision[T]]) -> T:
        """Have `decide` called in its turn, and its records made durable and visible; then return its reply.

        What `decide` raises is raised here. A cancelled caller does not stop a decision.
        """
        reply: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._pending.put_nowait(_Pending(decide, reply))
        return await reply

    async def _run(self) -> None:
        while True:
            pending = await self._pending.get()
            try:
                reply = await self._carry_out(pending.decide)
            except Exception as error:  # the caller's to handle, whatever it is
                if not pending.reply.done():
                    pending.reply.set_exception(error)
            else:
                if not pending.reply.done():
                    pending.reply.set_result(reply)
            self._pending.task_done()

    async def _carry_out(self, decide: Callable[[], Decision[T]]) -> T:
        records, reply = decide()
        if records:
            offset = self._append(records)
            await self._flush(self._log)
            await self._publish(self._replay(records, offset))
        return reply

    def _append(self, records: list[MetadataRecord]) -> int:
        """Append records as one batch, so that a crash keeps all of them or none; the first one's offset."""
        now_ms = self._clock()
        batch = build_batch([NewRecord(None, encode_record(record), now_ms) for record in records])
        appended = self._log.append(batch, leader_epoch=LEADER_EPOCH, now_ms=now_ms, origin=Origin.COORDINATOR)
        self._log.update_high_watermark(appended.last_offset + 1)
        return appended.base_offset

    def _replay(self, records: list[MetadataRecord], offset: int) -> Changes:
        image, changes = self.image, Changes()
        for record in records:
            if isinstance(record, RemoveTopicRecord):
                changes.removed.append(image.topics_by_id[record.topic_id])
            image.replay(record, offset)
            offset += 1
            match record:
                case PartitionRecord():
                    changes.created.append(image.topics_by_id[record.topic_id].partitions[record.partition_id])
                case PartitionChangeRecord():
                    changes.elected.append(image.topics_by_id[record.topic_id].partitions[record.partition_id])
                case ConfigRecord(resource_type=ResourceType.TOPIC):
                    changes.configured_topics.add(record.resource_name)
                case ConfigRecord(resource_type=ResourceType.BROKER):
                    changes.brokers_configured = True
        return changes
