"""The log of one partition replica: append, read, look up, cut.

Everything here is synchronous and belongs to the event loop's thread, except `flush`, which may run in another one
while the log goes on. Nothing else waits for the device: an append is acknowledged when its bytes are in the page
cache, as in Kafka.

    offsets         log start <= last stable <= high watermark <= log end, and the recovery point: what is flushed
    segments        sorted; the last one is active (segment.py)
    producers       idempotence (producers.py), open and aborted transactions (transactions.py)

The high watermark is moved by whoever replicates (on one node: right after the append), see `update_high_watermark`.
"""

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ottla_broker.log import checkpoints
from ottla_broker.log.compaction import CompactionPlan, CompactionResult, compactable_segments
from ottla_broker.log.config import LogConfig
from ottla_broker.log.data_directory import DELETE_SUFFIX, STRAY_SUFFIX
from ottla_broker.log.disk import Disk, LocalDisk, Rewrites
from ottla_broker.log.durability import NO_ROOM, Durability
from ottla_broker.log.epochs import EpochEntry
from ottla_broker.log.errors import LogError
from ottla_broker.log.producers import CLIENT, REPLICATION, Origin, Producers, Stage
from ottla_broker.log.recovery import RecoveredLog, load_producers, recover_log
from ottla_broker.log.results import Appended, Slice
from ottla_broker.log.retention import SegmentSummary, expired_segments
from ottla_broker.log.segment import LOG_SUFFIX, Segment
from ottla_broker.log.segments import Segments, TimestampedOffset
from ottla_broker.log.traffic import Traffic
from ottla_broker.log.transactions import AbortedTransaction
from ottla_broker.log.validation import Data, assign, check_offsets, read_batches, read_produced, writable
from ottla_wire.errors import ErrorCode, KafkaError
from ottla_wire.records import FileRegion, RecordBatch

__all__ = ["Appended", "Origin", "PartitionLog", "Slice", "TimestampedOffset"]

_LONGEST_NAME: Final = 255


class PartitionLog:
    """One partition replica on disk. Made by `open`."""

    def __init__(
        self,
        directory: Path,
        topic: str,
        index: int,
        topic_id: uuid.UUID,
        config: LogConfig,
        disk: Disk,
        recovered: RecoveredLog,
        recovery_point: int,
        producer_expiration_ms: int,
        now_ms: int,
    ) -> None:
        self.directory = directory
        self.topic = topic
        self.index = index
        self.topic_id = topic_id
        self.config = config
        self.log_start_offset = recovered.log_start_offset
        self.high_watermark = recovered.log_start_offset
        self.first_dirty_offset = recovered.log_start_offset
        self._disk = disk
        self._segments = Segments(recovered.segments)
        self._epochs = recovered.epochs
        self._producers = recovered.producers
        self._transactions = recovered.transactions
        self._snapshots = recovered.snapshots
        self._producer_expiration_ms = producer_expiration_ms
        self._first_unstable = self._transactions.first_unstable(self.high_watermark)
        self._durability = Durability(
            disk,
            directory,
            f"{topic}-{index}",
            self._epochs,
            recovery_point,
            now_ms if self.log_end_offset > recovery_point else None,
        )
        self._opened_at = self.log_end_offset
        self.traffic = Traffic()

    @classmethod
    def open(
        cls,
        directory: Path,
        topic: str,
        index: int,
        config: LogConfig,
        *,
        disk: Disk | None = None,
        now_ms: int,
        clean_shutdown: bool,
        recovery_point: int = 0,
        log_start_offset: int = 0,
        topic_id: uuid.UUID | None = None,
        producer_expiration_ms: int = 86_400_000,
        compacted: bool = False,
        proceed: Callable[[], None] = lambda: None,
    ) -> "PartitionLog":
        """Open the log in `directory`, making it if need be, and recover it unless the last shutdown was clean.

        `recovery_point`, `log_start_offset` and whether it was ever `compacted` come from the data directory's
        checkpoints. `topic_id` is written to
        partition.metadata if that has none. Raises OSError if the disk fails, CorruptFile for a garbled
        partition.metadata, LogError if the directory belongs to another topic id. May take long after a crash: call
        it in a thread; `proceed` is called again and again meanwhile, and what it raises ends it.
        """
        disk = disk or LocalDisk()
        disk.make_directory(directory)
        stored_id = checkpoints.read_topic_id(disk, directory)
        if topic_id is not None and stored_id is not None and topic_id != stored_id:
            raise LogError(f"{directory} belongs to the topic id {stored_id}, not {topic_id}")
        if topic_id is not None and stored_id is None:
            checkpoints.write_topic_id(disk, directory, topic_id)
        recovered = recover_log(
            disk,
            directory,
            config,
            recovery_point=recovery_point,
            log_start_offset=log_start_offset,
            clean_shutdown=clean_shutdown,
            producer_expiration_ms=producer_expiration_ms,
            now_ms=now_ms,
            compacted=compacted,
            proceed=proceed,
        )
        end = recovered.segments[-1].next_offset
        recovery_point = end if clean_shutdown else min(recovery_point, end)
        identity = stored_id or topic_id or checkpoints.NO_TOPIC_ID
        log = cls(
            directory, topic, index, identity, config, disk, recovered, recovery_point, producer_expiration_ms, now_ms
        )
        if stored_id is None and topic_id is not None:
            log._durability.made(checkpoints.PARTITION_METADATA)
        if recovered.segments[-1].size == 0:
            log._durability.made(recovered.segments[-1].path(LOG_SUFFIX).name)
        return log

    def __repr__(self) -> str:
        return f"<PartitionLog {self.topic}-{self.index} [{self.log_start_offset}, {self.log_end_offset})>"

    # ---- offsets

    @property
    def log_end_offset(self) -> int:
        """The offset that the next record will get."""
        return self._segments.active.next_offset

    @property
    def last_stable_offset(self) -> int:
        """Where read_committed stops: the high watermark, or the first record of a transaction that is not settled."""
        if self._first_unstable is None:
            return self.high_watermark
        return min(self.high_watermark, max(self._first_unstable, self.log_start_offset))

    @property
    def leader_epoch(self) -> int:
        """The epoch of the newest record, -1 if none is known."""
        return self._epochs.latest

    @property
    def size_bytes(self) -> int:
        return self._segments.size_bytes

    def measure(self) -> Traffic:
        """The traffic with everything in it; records are not counted one by one, but by the offsets that they took."""
        self.traffic.records_in = self.log_end_offset - self._opened_at
        return self.traffic

    @property
    def segments(self) -> Segments:
        return self._segments

    @property
    def failure(self) -> str | None:
        """Why the log takes no more appends, if so: its device has failed, or it is closed."""
        return self._durability.failure

    @property
    def recovery_point(self) -> int:
        """The offset up to which the log is on the device."""
        return self._durability.recovery_point

    @property
    def producers(self) -> Producers:
        """The producers that the partition knows, for DescribeProducers and transaction verification."""
        return self._producers

    def update_high_watermark(self, offset: int) -> None:
        """Records below `offset` are replicated as they must be, and may be read. Kept within the log's bounds."""
        if not self.log_start_offset <= offset <= self.log_end_offset:
            offset = max(self.log_start_offset, min(offset, self.log_end_offset))
        self.high_watermark = offset
        if self._first_unstable is not None:
            self._first_unstable = self._transactions.first_unstable(self.high_watermark)

    # ---- append

    def append(
        self,
        data: Data,
        *,
        leader_epoch: int,
        now_ms: int,
        origin: Origin = Origin.CLIENT,
        vetted_for: LogConfig | None = None,
    ) -> Appended:
        """Append one batch, or several unless they come from a client; all or none.

        A client's may be vetted (`validation.vet`), which holds for the config that it was done for. They get the
        next offsets and the leader epoch, in place if `data` is writable. Batches from replication keep what they have.
        Raises KafkaError: CORRUPT_MESSAGE, INVALID_RECORD, MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE,
        INVALID_TIMESTAMP; the producer states' INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER,
        INVALID_TXN_STATE, TRANSACTION_COORDINATOR_FENCED; KAFKA_STORAGE_ERROR if the disk is full or failing. Nothing
        has changed then.
        """
        if self._durability.failure is not None:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, self._durability.failure)
        batches = read_batches(writable(data), self.config, origin, now_ms, vetted=vetted_for is self.config)
        if origin is CLIENT and batches[0].producer_id >= 0:
            duplicate = self._find_duplicate(batches[0])
            if duplicate is not None:
                return duplicate
        if origin is REPLICATION:
            check_offsets(batches, self.log_end_offset)
        else:
            batches = assign(batches, self.config, self.log_end_offset, leader_epoch, now_ms)
        self._append(batches, origin, now_ms)
        return self._appended(batches[0].base_offset, batches[-1].last_offset, now_ms)

    def append_each(self, sent: Sequence[Data], *, leader_epoch: int, now_ms: int) -> list[Appended]:
        """Append the batches that several requests of clients have brought, one each, with one write; all or none.

        Raises as `append` does; and KafkaError DUPLICATE_SEQUENCE_NUMBER if a batch is here already, because only an
        append of its own can tell where.
        """
        if self._durability.failure is not None:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, self._durability.failure)
        config = self.config
        batches = [read_produced(writable(data), config, now_ms) for data in sent]
        for batch in batches:
            if batch.producer_id >= 0 and self._producers.find(batch) is not None:
                raise KafkaError(ErrorCode.DUPLICATE_SEQUENCE_NUMBER)
        batches = assign(batches, config, self._segments.active.next_offset, leader_epoch, now_ms)
        self._append(batches, CLIENT, now_ms)
        return [self._appended(batch.base_offset, batch.last_offset, now_ms) for batch in batches]

    def _append(self, batches: list[RecordBatch], origin: Origin, now_ms: int) -> None:
        """Write batches that have their offsets, and take account of them."""
        data = batches[0].buffer if len(batches) == 1 else b"".join([batch.buffer for batch in batches])
        if len(data) > self.config.segment_bytes:
            raise KafkaError(
                ErrorCode.RECORD_LIST_TOO_LARGE,
                f"The append has {len(data)} bytes, segment.bytes is {self.config.segment_bytes}",
            )
        stage = self._producers.stage_batches(batches, origin, now_ms)
        self._write(data, batches, now_ms)
        self._epochs.note(batches)
        if stage is not None:
            self._commit(stage)
        if self._durability.unflushed_since_ms is None:
            self._durability.unflushed_since_ms = now_ms

    def _find_duplicate(self, batch: RecordBatch) -> Appended | None:
        found = self._producers.find(batch)
        if found is None:
            return None
        return self._appended(found.first_offset, found.last_offset, found.timestamp, duplicate=True)

    def _appended(self, base_offset: int, last_offset: int, now_ms: int, duplicate: bool = False) -> Appended:
        config = self.config
        append_time_ms = now_ms if config.message_timestamp_type == "LogAppendTime" else -1
        flush_due = self._segments.active.next_offset - self._durability.recovery_point >= config.flush_messages
        return Appended(base_offset, last_offset, append_time_ms, self.log_start_offset, duplicate, flush_due)

    def _write(self, data: Data, batches: list[RecordBatch], now_ms: int) -> None:
        config, active = self.config, self._segments.active
        newest = batches[0].max_timestamp if len(batches) == 1 else max(batch.max_timestamp for batch in batches)
        try:
            if active.must_roll(len(data), batches[-1].last_offset, newest, config, now_ms):
                active = self._roll(batches[0].base_offset, now_ms)
            active.append(data, batches, config.index_interval_bytes)
        except OSError as error:
            raise KafkaError(
                ErrorCode.KAFKA_STORAGE_ERROR, f"Writing {self.topic}-{self.index} failed: {error.strerror}"
            ) from error

    def _commit(self, stage: Stage) -> None:
        stage.commit()
        if stage.begun or stage.completed:
            for transaction, last_stable_offset in self._transactions.apply(stage.begun, stage.completed):
                self._segments.active.transaction_index.append(transaction, last_stable_offset)
            self._first_unstable = self._transactions.first_unstable(self.high_watermark)

    def roll(self, now_ms: int) -> None:
        """Begin a new segment, unless the active one is empty. If that raises OSError, nothing has changed."""
        if self._segments.active.size:
            self._roll(self.log_end_offset, now_ms)

    def _roll(self, base_offset: int, now_ms: int) -> Segment:
        self._durability.made(self._snapshots.write(base_offset, self._producers))
        segment = Segment.create(self._disk, self.directory, base_offset, self.config, now_ms)
        self._durability.made(segment.path(LOG_SUFFIX).name)
        self._segments.active.close_indexes()
        self._segments.active.trim()
        self._segments.append(segment)
        return segment

    # ---- read

    def read(self, offset: int, max_bytes: int, *, min_one: bool = True, committed_only: bool = False) -> Slice:
        """The whole batches from the one that holds `offset` on, up to `max_bytes` and the high watermark (with
        `committed_only`, the last stable offset), all from one segment.

        With `min_one` there is at least one batch even if it is larger. Raises KafkaError(OFFSET_OUT_OF_RANGE), and
        KAFKA_STORAGE_ERROR if the disk fails.
        """
        if not self.log_start_offset <= offset <= self.log_end_offset:
            raise KafkaError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"Offset {offset} of {self.topic}-{self.index} is outside "
                f"[{self.log_start_offset}, {self.log_end_offset}]",
            )
        bound = self.last_stable_offset if committed_only else self.high_watermark
        region: FileRegion | None = None
        aborted: list[AbortedTransaction] | None = [] if committed_only else None
        if offset < bound:
            try:
                place = self._segments.find(offset, bound, max_bytes, min_one=min_one)
                if place is not None:
                    file = self._segments[place.number].file
                    region = FileRegion(file.descriptor, place.start, place.end - place.start)
                    if committed_only:
                        aborted = self._segments.find_aborted(offset, bound, place)
            except OSError as error:
                raise self._unreadable(error) from error
        size = region.size if region is not None else 0
        return Slice(region, size, self.high_watermark, self.last_stable_offset, self.log_start_offset, aborted)

    def read_bytes(self, region: FileRegion) -> bytes:
        """The bytes of a region: for connections that cannot send from the file, and for readers in this process."""
        return self._disk.read(region.file, region.size, region.position)

    def offset_for_timestamp(self, timestamp: int) -> TimestampedOffset | None:
        """The first record whose timestamp is at least `timestamp`. Raises KAFKA_STORAGE_ERROR if the disk fails."""
        try:
            return self._segments.find_timestamp(timestamp, self.log_start_offset)
        except OSError as error:
            raise self._unreadable(error) from error

    def max_timestamp(self) -> TimestampedOffset | None:
        """The first record that has the largest timestamp of all. Raises as `offset_for_timestamp`."""
        try:
            return self._segments.find_newest(self.log_start_offset)
        except OSError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: OSError) -> KafkaError:
        reason = f"Reading {self.topic}-{self.index} failed: {error.strerror}"
        return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, reason)

    def epoch_at(self, offset: int) -> int:
        """The leader epoch that wrote `offset`, -1 if it is not known."""
        return self._epochs.epoch_at(offset)

    def epoch_end_offset(self, epoch: int) -> EpochEntry:
        """The newest epoch not above `epoch` and where it ended; see `LeaderEpochs.end_offset`."""
        return self._epochs.end_offset(epoch, self.log_end_offset)

    # ---- making it shorter

    def delete_records_before(self, offset: int) -> int:
        """Move the log start offset up (DeleteRecords); -1 stands for the high watermark. Returns the log start offset.

        The files go with the next `enforce_retention`. Raises OFFSET_OUT_OF_RANGE above the high watermark.
        """
        if offset == -1:
            offset = self.high_watermark
        if not 0 <= offset <= self.high_watermark:
            raise KafkaError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"Cannot delete before {offset}, the high watermark is {self.high_watermark}",
            )
        if offset > self.log_start_offset:
            self.log_start_offset = offset
            self._epochs.truncate_start(offset)
        return self.log_start_offset

    def enforce_retention(self, now_ms: int) -> list[Path]:
        """Take the segments out of the log that its settings no longer keep, and move the log start offset behind them.

        Returns their files, renamed, to be removed after file.delete.delay.ms. Raises OSError if the disk fails.
        """
        summaries = [
            SegmentSummary(segment.size, self._segments.end_offset(number), self._newest_ms(segment))
            for number, segment in enumerate(self._segments)
        ]
        count = expired_segments(summaries, self.config, self.log_start_offset, self.high_watermark, now_ms)
        if count == len(self._segments):
            try:
                self.roll(now_ms)
            except OSError as error:
                if count == 1 or error.errno not in NO_ROOM:
                    raise
                count -= 1  # what the others leave makes room for a new segment the next time
        if count == 0:
            return []
        self.log_start_offset = max(self.log_start_offset, self._segments[count].base_offset)
        self._epochs.truncate_start(self.log_start_offset)
        return self._drop_segments(0, count)

    def _newest_ms(self, segment: Segment) -> int:
        timestamp, _ = segment.newest_timestamp()
        return timestamp if timestamp >= 0 else self._disk.modified_ms(segment.path(LOG_SUFFIX))

    def _drop_segments(self, first: int, end: int) -> list[Path]:
        """Take segments out of the log and rename their files and snapshots; the new names."""
        bases, files = self._segments.drop(first, end)
        return files + self._snapshots.rename_deleted(bases)

    def truncate_to(self, offset: int, now_ms: int) -> list[Path]:
        """Remove all records at `offset` or beyond (a follower whose history parts from the leader's). No flush may
        run.

        Returns files to be removed, as `enforce_retention` does. Raises OSError if the disk fails.
        """
        if offset >= self.log_end_offset:
            self._epochs.truncate_end(self.log_end_offset)
            return []
        if offset < self._segments[0].base_offset:
            fresh = Segment.create(self._disk, self.directory, offset, self.config, now_ms)
            self._durability.made(fresh.path(LOG_SUFFIX).name)
            files = self._drop_segments(0, len(self._segments))
            self._segments = Segments([fresh])
        else:
            files = self._drop_segments(self._segments.number_at(offset) + 1, len(self._segments))
            self._segments.active.truncate(offset, self.config.index_interval_bytes)
        self._disk.sync_directory(self.directory)
        self.log_start_offset = min(self.log_start_offset, self.log_end_offset)
        self._durability.recovery_point = min(self.recovery_point, self.log_end_offset)
        self.first_dirty_offset = min(self.first_dirty_offset, self.log_end_offset)
        self._epochs.truncate_end(self.log_end_offset)
        self._producers, self._transactions = load_producers(
            self._segments.copy(),
            self._snapshots,
            set(),
            self._producer_expiration_ms,
            now_ms,
        )
        self._first_unstable = self._transactions.first_unstable(self.high_watermark)
        self.update_high_watermark(self.high_watermark)
        return files

    # ---- compaction

    def plan_compaction(self, max_keys: int, now_ms: int) -> CompactionPlan | None:
        """What compaction has to do now, with room for `max_keys` different keys; None if nothing is due.

        Only what is settled and no longer written to is compacted: not the active segment, were it empty.
        """
        if not self.config.compact or self._durability.failure is not None:
            return None
        segments = compactable_segments(
            self._segments.copy()[:-1], self.config, self.first_dirty_offset, self.last_stable_offset, now_ms
        )
        if not segments:
            return None
        end = segments[-1].next_offset
        # A marker may lie in a later segment than the records that it aborts.
        aborted = [
            entry for segment in self._segments for entry in segment.transaction_index if entry.first_offset < end
        ]
        return CompactionPlan(
            disk=self._disk,
            directory=self.directory,
            config=self.config,
            segments=segments,
            aborted=aborted,
            last_batches=self._producers.last_batches(),
            first_dirty=max(self.first_dirty_offset, self.log_start_offset),
            max_keys=max_keys,
            now_ms=now_ms,
        )

    def finish_compaction(self, result: CompactionResult) -> list[Path]:
        """Put the compacted segments in the place of those that they were made from.

        They are discarded if any of these is no longer part of the log. Returns files to be removed, as
        `enforce_retention` does.
        """
        if not all(self._segments.holds(old) for old, _ in result.replacements):
            result.discard()
            return []
        files: list[Path] = []
        for old, new in result.replacements:
            gone = [segment.base_offset for segment in old[1:]]
            files += self._segments.replace(old, new)
            files += self._snapshots.rename_deleted(gone)
        for _, new in result.replacements:
            self._durability.made(new.path(LOG_SUFFIX).name)
        self.first_dirty_offset = result.end_offset
        return files

    def expire_producers(self, now_ms: int, expiration_ms: int) -> None:
        """Forget producers that have been silent for so long (producer.id.expiration.ms, from now on)."""
        self._producer_expiration_ms = expiration_ms
        self._producers.expire(now_ms, expiration_ms)

    # ---- durability

    def flush_is_due(self, now_ms: int) -> bool:
        """Whether flush.ms or flush.messages asks for a flush."""
        return self._durability.is_due(self.log_end_offset, self.config, now_ms)

    @property
    def closed_segments_are_unflushed(self) -> bool:
        """Whether a start after a crash would have to check more than the active segment."""
        return self._segments.active.base_offset > self.recovery_point and self.failure is None

    def flush(self, *, closed_only: bool = False) -> None:
        """Force to the device all that was appended before, and move the recovery point there; with `closed_only` all
        but the active segment.

        May run in a thread while the log goes on, but not while it gets shorter. Raises KafkaError(KAFKA_STORAGE_ERROR)
        if that fails: without room for the indexes everything is as before; after a failure of the device the log takes
        no more appends, because what the failed call has dropped cannot be known.
        """
        self._durability.flush(self._segments, closed_only=closed_only)

    def settle(self, rewrites: Rewrites) -> None:
        """Write what a clean stop leaves behind, except for what is there already. Nothing may be appended after.

        It is durable when the caller has committed the rewrites, and says so by `close`. May run in a thread. Raises
        OSError if the disk fails, and KAFKA_STORAGE_ERROR if it has failed before.
        """
        self._durability.settle(rewrites, self._segments, self._producers, self._snapshots)

    def close(self, *, durable: bool) -> None:
        """Let go of the files. `durable` says that all is on the device, as it is after `settle` and the commit."""
        if durable:
            self._durability.recovery_point = self.log_end_offset
        self._release("was closed")

    def delete(self) -> Path:
        """Take the partition out of service: rename its directory as Kafka does, and let go of the files.

        Returns the new path, to be removed with `Disk.remove_tree` after file.delete.delay.ms. Raises OSError if it
        cannot be renamed, and is out of service all the same.
        """
        return self._rename(DELETE_SUFFIX, "was deleted")

    def set_aside(self) -> Path:
        """The same for files that are to stay, under a name by which no partition is looked for."""
        return self._rename(STRAY_SUFFIX, "was set aside")

    def _rename(self, ending: str, reason: str) -> Path:
        suffix = f"-{self.index}.{uuid.uuid4().hex}{ending}"
        target = self.directory.with_name(self.topic[: _LONGEST_NAME - len(suffix)] + suffix)
        try:
            self._disk.rename(self.directory, target)
        finally:
            self._release(reason)
        return target

    def _release(self, reason: str) -> None:
        self._durability.failure = f"{self.topic}-{self.index} {reason}"
        for segment in self._segments:
            segment.close()
