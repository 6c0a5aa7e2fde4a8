"""The driver of cluster metadata: decide, append, replay, publish, reply.

One decision is made at a time, against an image that holds every decision before it. Its records are appended to the
`__cluster_metadata` log and forced to disk in a thread; then they are replayed into the image, the broker acts on what
has changed, and only then is the caller answered. A single node is a quorum of one; where there are more, replication
takes its place between append and replay.

Now and then, when much or something old is in the log, a snapshot takes the place of what came before (`snapshots.py`),
so that neither the log nor a start grow with what once was. It is whole and durable before anything else goes.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import msgspec

from ottla_broker.cluster import snapshots
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
from ottla_broker.cluster.snapshots import Snapshot
from ottla_broker.log.disk import Disk
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.partition import Origin, PartitionLog
from ottla_wire.errors import KafkaError
from ottla_wire.records import NewRecord, build_batch, iter_batches

T = TypeVar("T")

logger = logging.getLogger(__name__)

Decision = tuple[list[MetadataRecord], T]

# The quorum of one has had one leader.
LEADER_EPOCH = 1
_READ_BYTES = 1024 * 1024
_FLUSH_RETRY_S = 1.0


class Changes(msgspec.Struct):
    """What a decision has changed, for those who must act on it. Removed topics are as they were."""

    created: list[PartitionState] = []
    elected: list[PartitionState] = []
    removed: list[TopicState] = []
    configured_topics: set[str] = set()
    brokers_configured: bool = False


class SnapshotPolicy(NamedTuple):
    """When the next snapshot is due: as soon as the records since the last one take so many bytes, or are so old."""

    max_bytes: int
    max_interval_ms: int  # 0: they may be as old as they like


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
        policy: SnapshotPolicy,
        disk: Disk,
    ) -> None:
        """`disk` is the one that the log is on."""
        self.image = image
        self._log = log
        self._flush = flush
        self._clock = clock
        self._publish = publish
        self._policy = policy
        self._disk = disk
        self._new_bytes = 0  # since the last snapshot
        self._oldest_ms: int | None = None  # when the first record since then was appended
        self._newest_ms = 0
        self._pending: asyncio.Queue[_Pending] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._unsettled: KafkaError | None = None  # why the log holds a decision that the image does not

    @property
    def end_offset(self) -> int:
        """The offset that the next record will get."""
        return self._log.log_end_offset

    def replay(self) -> set[uuid.UUID]:
        """Bring the image up to the end of the log; the ids of the topics that were deleted since the last snapshot.
        Called once, before `start`.

        Raises UnknownRecord or MalformedMessage for a log that this version cannot read, CorruptFile for one that is
        damaged.
        """
        deleted: set[uuid.UUID] = set()
        self._log.update_high_watermark(self._log.log_end_offset)
        snapshot = snapshots.newest(self._disk, self._log.directory)
        if snapshot is not None:
            if snapshot.end_offset > self._log.log_end_offset:
                raise CorruptFile(
                    f"The metadata log {self._log.directory} ends at offset {self._log.log_end_offset}, its snapshot "
                    f"{snapshot.path.name} later; restore it from a copy"
                )
            snapshots.load(self._disk, snapshot, self.image)
            self._begin_at(snapshot)
        offset = self.image.offset + 1
        if offset < self._log.log_start_offset:
            raise CorruptFile(
                f"The metadata log {self._log.directory} begins at offset {self._log.log_start_offset}, and there is "
                f"no snapshot of what came before; restore it from a copy"
            )
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
                self._note(batch.size, batch.base_timestamp)
                offset = batch.next_offset
        return deleted

    def start(self) -> None:
        """Take decisions from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Take no more decisions; those under way end first, those that wait for room on the disk by an error."""
        self._stopping.set()
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
                if self._snapshot_is_due():
                    await self._take_snapshot()
            self._pending.task_done()

    async def _carry_out(self, decide: Callable[[], Decision[T]]) -> T:
        if self._unsettled is not None:
            raise self._unsettled
        records, reply = decide()
        if records:
            offset = self._append(records)
            await self._settle()
            await self._publish(self._replay(records, offset))
        return reply

    async def _settle(self) -> None:
        """Return when what was appended is durable, if need be when there is room on the disk again.

        It stands in the log, so that the next start will find it: until it is in the image nothing else may be decided.
        Raises KafkaError if the device has failed, or the node is to stop; only the next start decides anything then.
        """
        waits = False
        while True:
            try:
                return await self._flush(self._log)
            except KafkaError as error:
                if self._log.failure is not None or self._stopping.is_set():
                    self._unsettled = error
                    raise
                if not waits:
                    logger.error("%s waits for room on the disk: %s", self._log, error.message)
                waits = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _FLUSH_RETRY_S)

    def _append(self, records: list[MetadataRecord]) -> int:
        """Append records as one batch, so that a crash keeps all of them or none; the first one's offset."""
        now_ms = self._clock()
        batch = build_batch([NewRecord(None, encode_record(record), now_ms) for record in records])
        appended = self._log.append(batch, leader_epoch=LEADER_EPOCH, now_ms=now_ms, origin=Origin.COORDINATOR)
        self._log.update_high_watermark(appended.last_offset + 1)
        self._note(len(batch), now_ms)
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

    # ---- snapshots

    def _note(self, size: int, appended_ms: int) -> None:
        """There is something in the log that is in no snapshot."""
        self._new_bytes += size
        self._newest_ms = appended_ms
        if self._oldest_ms is None:
            self._oldest_ms = appended_ms

    def _snapshot_is_due(self) -> bool:
        if self._oldest_ms is None:
            return False
        age_ms, max_interval_ms = self._clock() - self._oldest_ms, self._policy.max_interval_ms
        return self._new_bytes >= self._policy.max_bytes or 0 < max_interval_ms <= age_ms

    async def _take_snapshot(self) -> None:
        """Write down the image, and let go of what led there. Decisions wait meanwhile, so that it stays as it is.

        If that fails, all is as before, and it is tried again when as much has come again.
        """
        self._new_bytes, self._oldest_ms = 0, None
        try:
            snapshot = await asyncio.to_thread(self._write_snapshot)
            self._log.roll(self._clock())
            self._begin_at(snapshot)
        except OSError as error:
            logger.error("No snapshot of %s could be taken: %s", self._log, error.strerror)
        else:
            logger.info("The snapshot %s is in the place of the records before it", snapshot.path)

    def _write_snapshot(self) -> Snapshot:
        """Runs in a thread."""
        directory = self._log.directory
        # The snapshot does not know of deleted topics any more: that their directories are renamed must outlast it.
        self._disk.sync_directory(directory.parent)
        return snapshots.write(self._disk, directory, self.image, LEADER_EPOCH, self._newest_ms)

    def _begin_at(self, snapshot: Snapshot) -> None:
        """What is in the snapshot goes from the log, its segments with the next look for what retention discards."""
        self._log.delete_records_before(snapshot.end_offset)
        snapshots.remove_older(self._disk, snapshot)
