"""All the logs of one node: opening, creating, deleting them, and the work that comes round.

    manager = LogManager(path, config, clock)
    manager.open(node_id)                       # locks the directory
    manager.create("topic", topic_id, 0, ...)   # opens a partition, or makes it
    await manager.load(config_of)               # opens all others that are on disk
    manager.start()                             # retention, flush.ms, checkpoints, ... from now on
    await manager.close()

The work itself is in synchronous methods that do one thing each. The driver calls them when they are due, those that
wait for the disk in threads.
"""

import asyncio
import logging
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Set
from pathlib import Path
from typing import Final, TypeVar

from ottla_broker.log.checkpoints import (
    FIRST_DIRTY_OFFSETS,
    HIGH_WATERMARKS,
    LOG_START_OFFSETS,
    RECOVERY_POINTS,
    TopicPartition,
    write_topic_id,
)
from ottla_broker.log.compaction import BYTES_PER_KEY, CompactionPlan, CompactionResult
from ottla_broker.log.config import LogConfig, LogManagerConfig
from ottla_broker.log.data_directory import DELETE_SUFFIX, DataDirectory
from ottla_broker.log.disk import Disk, LocalDisk, Rewrites
from ottla_broker.log.errors import CompactionStopped, CorruptFile, LogError, RecoveryStopped
from ottla_broker.log.pace import Pace
from ottla_broker.log.partition import PartitionLog
from ottla_broker.log.traffic import Traffic
from ottla_wire.errors import KafkaError

T = TypeVar("T")

logger = logging.getLogger(__name__)

_REMOVAL_INTERVAL_MS: Final = 1_000
_CLOSED_FLUSH_INTERVAL_MS: Final = 1_000
_REMOVAL_RETRY_MS: Final = 60_000
_LONGEST_SLEEP_MS: Final = 86_400_000
_LOGS_PER_TURN: Final = 100  # so many logs are looked at before others get the event loop


class LogManager:
    """The logs of one data directory. All methods belong to the event loop's thread."""

    def __init__(
        self, path: Path, config: LogManagerConfig, clock: Callable[[], int], disk: Disk | None = None
    ) -> None:
        """`clock` gives epoch milliseconds."""
        self.path = path
        self._config = config
        self._clock = clock
        self.disk = disk or LocalDisk()
        self._directory: DataDirectory | None = None
        self._logs: dict[TopicPartition, PartitionLog] = {}
        self._flushes: dict[PartitionLog, asyncio.Lock] = {}
        self._removals: list[tuple[int, Path]] = []
        self._checkpoints: dict[str, dict[TopicPartition, int]] = {}  # as they are on disk
        self._writing_checkpoint = threading.Lock()
        self._unopened: Set[TopicPartition] = frozenset()  # what is on disk and was not opened, when all is over
        self._jobs: list[asyncio.Task[None]] = []
        self.flushes = 0
        self.flushing_ms = 0
        self.retired = Traffic()  # of the partitions that were deleted
        self.unmade: dict[TopicPartition, str] = {}  # logs that could not be created, and why; to be tried again
        self._compacting: PartitionLog | None = None  # its segments are being read in a thread
        self._compaction = asyncio.Lock()  # held as long
        self._pace = Pace()  # of that compaction
        self._told_to_stop = threading.Event()  # before all logs are open

    @property
    def directory(self) -> DataDirectory:
        """The data directory, once it is open: its cluster id, and whether the last shutdown was clean."""
        assert self._directory is not None, "the manager is not open"
        return self._directory

    def configure(self, config: LogManagerConfig) -> None:
        """Go by other settings from now on; what is being waited for comes first."""
        self._config = config
        self._pace.limit(config.cleaner_io_max_bytes_per_second)

    def open(self, node_id: int, cluster_id: str | None = None) -> None:
        """Lock the data directory; see `DataDirectory.open` for what can be wrong with it."""
        self._directory = DataDirectory.open(self.path, self.disk, node_id, cluster_id)
        for name in _CHECKPOINTED:
            self._checkpoints[name] = self._directory.read_offsets(name)

    # ---- partitions

    def get(self, topic: str, index: int) -> PartitionLog | None:
        return self._logs.get((topic, index))

    def __iter__(self) -> Iterator[PartitionLog]:
        return iter(list(self._logs.values()))

    def __len__(self) -> int:
        return len(self._logs)

    def create(self, topic: str, topic_id: uuid.UUID, index: int, config: LogConfig) -> PartitionLog:
        """The partition's log: the one that is open, else the one on disk, else a new one.

        Raises OSError if the disk fails or is full, which `unmade` remembers, LogError if the directory belongs to
        another topic of that name.
        """
        log = self._logs.get((topic, index))
        if log is None:
            path = self.path / f"{topic}-{index}"
            try:
                if not self.disk.exists(path):
                    self._forget(topic, index)
                log = self._open(topic, index, path, config, topic_id)
            except OSError as error:
                self.unmade[topic, index] = f"{path} cannot be made: {error.strerror}"
                raise
            except LogError as error:
                self.unmade[topic, index] = str(error)
                raise
            self.unmade.pop((topic, index), None)
            self._logs[topic, index] = log
        return log

    def identify(self, log: PartitionLog, topic_id: uuid.UUID) -> None:
        """Give a log its topic id where a power cut has taken that from the disk. Raises OSError if the disk fails."""
        write_topic_id(self.disk, log.directory, topic_id, sync=True)
        log.topic_id = topic_id

    def _forget(self, topic: str, index: int) -> None:
        """What the checkpoints say of a deleted partition must never be taken for a new one's of the same name."""
        key = topic, index
        with self._writing_checkpoint:  # one that is being written may still name the deleted one
            for name, offsets in self._checkpoints.items():
                if key in offsets:
                    remaining = {other: offset for other, offset in offsets.items() if other != key}
                    self.directory.write_offsets(name, remaining)
                    self._checkpoints[name] = remaining

    async def load(self, config_of: Callable[[str], LogConfig]) -> None:
        """Open all partitions that are on disk; `config_of` gives a topic's settings. Recovers them after a crash.

        What it finds may include topics that no longer exist: compare, and `delete` those. If it is cancelled or fails,
        it ends within what one batch takes, and `close` sees to it that what was recovered need not be again.
        """
        found = [(key, path) for key, path in self.directory.partitions().items() if key not in self._logs]
        configs = {topic: config_of(topic) for (topic, _), _ in found}

        opened: dict[TopicPartition, PartitionLog] = {}

        def open_some(part: list[tuple[TopicPartition, Path]]) -> None:
            for key, path in part:
                self._proceed()
                opened[key] = self._open(*key, path, configs[key[0]], None)

        opening = [asyncio.create_task(asyncio.to_thread(open_some, part)) for part in self._share(found)]
        try:
            await asyncio.wait(opening, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            if not all(task.done() for task in opening):
                self._told_to_stop.set()
            await asyncio.wait(opening)
            self._logs.update(opened)
            errors = [error for task in opening if (error := task.exception()) is not None]
        for error in errors:
            if not isinstance(error, RecoveryStopped):
                raise error
        self._removals += [(0, path) for path in self.directory.deleted()]

    def _share(self, work: list[T]) -> list[list[T]]:
        """Work for as many threads as may start and stop the logs."""
        threads = self._config.recovery_threads
        return [work[number::threads] for number in range(threads)]

    def _open(self, topic: str, index: int, path: Path, config: LogConfig, topic_id: uuid.UUID | None) -> PartitionLog:
        key = topic, index
        log_start_offset = self._checkpoints[LOG_START_OFFSETS].get(key, 0)
        first_dirty = self._checkpoints[FIRST_DIRTY_OFFSETS].get(key, 0)
        log = PartitionLog.open(
            path,
            topic,
            index,
            config,
            disk=self.disk,
            now_ms=self._clock(),
            clean_shutdown=self.directory.clean_shutdown,
            recovery_point=self._checkpoints[RECOVERY_POINTS].get(key, 0),
            log_start_offset=log_start_offset,
            topic_id=topic_id,
            producer_expiration_ms=self._config.producer_id_expiration_ms,
            compacted=first_dirty > log_start_offset,
            proceed=self._proceed,
        )
        log.update_high_watermark(self._checkpoints[HIGH_WATERMARKS].get(key, 0))
        log.first_dirty_offset = max(log.log_start_offset, min(first_dirty, log.log_end_offset))
        return log

    def _proceed(self) -> None:
        """Called in threads, by those that open logs, again and again. Raises RecoveryStopped if they are not to."""
        if self._told_to_stop.is_set():
            raise RecoveryStopped

    async def delete(self, topic: str, index: int) -> None:
        """Take a partition out of service at once; its files go after file.delete.delay.ms. Fine if it has no log.

        Returns when no thread works on the files any more: by their names it would meet those of the next partition
        that is called so.
        """
        self.unmade.pop((topic, index), None)
        log = self._logs.pop((topic, index), None)
        if log is None:
            return
        self.retired.add(log.measure())
        if log is self._compacting:
            self._pace.stop()
            async with self._compaction:
                pass
        async with self._flushing(log):
            self._delete(log)
        self._flushes.pop(log, None)

    def _delete(self, log: PartitionLog) -> None:
        due_ms = self._clock() + log.config.file_delete_delay_ms
        try:
            self._removals.append((due_ms, log.delete()))
        except FileNotFoundError:
            logger.error("%s is deleted; somebody had removed its directory", log)
        except OSError as error:
            logger.error("%s is deleted, but %s stays until the next start: %s", log, log.directory, error.strerror)

    def set_aside(self, topic: str, index: int) -> None:
        """Take a partition out of service that nobody has deleted, but keep its files. Only before `start`."""
        log = self._logs.pop((topic, index))
        try:
            logger.error("%s belongs to no topic that is known here: its files are kept in %s", log, log.set_aside())
        except OSError as error:
            logger.error("%s belongs to no topic that is known here, and stays where it is: %s", log, error.strerror)

    async def flush(self, log: PartitionLog) -> None:
        """Return when all that has been appended to `log` so far is on the device. Callers at a time share one flush.

        Raises KafkaError(KAFKA_STORAGE_ERROR) if that fails.
        """
        end = log.log_end_offset
        async with self._flushing(log):
            if log.recovery_point < end:
                await self._flush_in_thread(log)

    async def _flush_in_thread(self, log: PartitionLog, *, closed_only: bool = False) -> None:
        begun_ms = self._clock()
        await asyncio.to_thread(log.flush, closed_only=closed_only)
        self.flushes += 1
        self.flushing_ms += max(0, self._clock() - begun_ms)

    def _flushing(self, log: PartitionLog) -> asyncio.Lock:
        """Held while a log is flushed in a thread, and by whatever must not happen meanwhile."""
        return self._flushes.setdefault(log, asyncio.Lock())

    def failures(self) -> list[str]:
        """Why logs take no appends: one reason for each whose device has failed, or that could not be made."""
        return [log.failure for log in self._logs.values() if log.failure is not None] + list(self.unmade.values())

    def free_bytes(self) -> int:
        """The room that is left on the disk of the data directory."""
        return self.disk.free_bytes(self.path)

    async def close(self) -> None:
        """Flush and close all logs and release the directory. The next start needs no recovery if all went well.

        What was not opened, because the start has failed, is left as it was: its checkpoints stay, and it is clean only
        if it was before.
        """
        self._pace.stop()
        for task in self._jobs:
            task.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        logs, rewrites = list(self._logs.values()), Rewrites(self.disk)
        parts = self._share(logs)
        clean = all(await asyncio.gather(*(asyncio.to_thread(_settle, part, rewrites) for part in parts)))
        try:
            await asyncio.to_thread(rewrites.commit, self.path)
        except OSError as error:
            logger.error("The logs in %s could not be flushed: %s", self.path, error.strerror)
            clean = False
        for log in logs:
            log.close(durable=clean)
        try:
            self._unopened = self.directory.partitions().keys() - self._logs.keys()
            await self._checkpoint(*_CHECKPOINTED)
        except OSError as error:
            logger.error("The checkpoints in %s could not be written: %s", self.path, error.strerror)
            clean = False
        self.directory.close(clean=clean and (not self._unopened or self.directory.clean_shutdown))

    # ---- the work that comes round

    def enforce_retention(self, log: PartitionLog) -> None:
        """Discard the segments that the log's settings no longer keep; the files go after file.delete.delay.ms."""
        now_ms = self._clock()
        due_ms = now_ms + log.config.file_delete_delay_ms
        self._removals += [(due_ms, path) for path in log.enforce_retention(now_ms)]

    def take_due_removals(self) -> list[Path]:
        """The files and directories that are due to go; they are forgotten here."""
        now_ms = self._clock()
        due = [path for due_ms, path in self._removals if due_ms <= now_ms]
        self._removals = [removal for removal in self._removals if removal[0] > now_ms]
        return due

    def remove(self, paths: list[Path]) -> list[Path]:
        """Remove files and partition directories; those that cannot be removed now. Runs in a thread."""
        left = []
        for path in paths:
            try:
                if path.name.endswith(DELETE_SUFFIX):
                    self.disk.remove_tree(path)
                elif self.disk.exists(path):  # it does not if its partition has been deleted since
                    self.disk.remove(path)
            except OSError as error:
                logger.error("%s cannot be removed and will be tried again: %s", path, error.strerror)
                left.append(path)
        return left

    # ---- the driver

    def start(self) -> None:
        """Begin the work that comes round."""
        loop = asyncio.get_running_loop()
        each = self._for_each
        jobs: list[tuple[Callable[[LogManagerConfig], int], Callable[[], Awaitable[None]]]] = [
            (lambda config: config.flush_scheduler_interval_ms, each(self._flush_due)),
            (lambda _config: _CLOSED_FLUSH_INTERVAL_MS, each(self._flush_closed)),
            (lambda config: config.retention_check_interval_ms, each(self._retain)),
            (lambda config: config.flush_offset_checkpoint_interval_ms, self._checkpoint_recovery),
            (lambda config: config.flush_start_offset_checkpoint_interval_ms, self._checkpoint_starts),
            (lambda config: config.producer_id_expiration_check_interval_ms, each(self._expire_producers)),
            (lambda _config: _REMOVAL_INTERVAL_MS, self._remove_due),
        ]
        if self._config.cleaner_enable:
            jobs.append((lambda config: config.cleaner_backoff_ms, each(self.compact)))
        for interval_ms, job in jobs:
            self._jobs.append(loop.create_task(self._every(interval_ms, job)))

    async def _every(self, interval_ms: Callable[[LogManagerConfig], int], job: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(min(interval_ms(self._config), _LONGEST_SLEEP_MS) / 1000)
            try:
                await job()
            except OSError as error:
                logger.error("Work on the logs in %s has failed and will be tried again: %s", self.path, error)

    def _for_each(self, work: Callable[[PartitionLog], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """A job that does `work` for all logs that have not failed, whatever becomes of it for one of them."""

        async def job() -> None:
            async for log in self._in_turn():
                try:
                    await work(log)
                except (OSError, KafkaError, CorruptFile) as error:
                    if self._logs.get((log.topic, log.index)) is log:  # else it was deleted meanwhile
                        logger.error("Work on %s has failed: %s", log, error)
                except Exception:  # a fault of ours with this one: the others are still to be seen to
                    logger.exception("Work on %s has failed for a reason of ours", log)

        return job

    async def _in_turn(self) -> AsyncIterator[PartitionLog]:
        """All logs, with the event loop left to others now and then; not those that fail or are deleted meanwhile."""
        for number, (key, log) in enumerate(list(self._logs.items()), 1):
            if self._logs.get(key) is log and log.failure is None:
                yield log
            if number % _LOGS_PER_TURN == 0:
                await asyncio.sleep(0)

    async def _flush_due(self, log: PartitionLog) -> None:
        if log.flush_is_due(self._clock()):
            await self.flush(log)

    async def _flush_closed(self, log: PartitionLog) -> None:
        """Segments that are no longer written to are flushed soon, so that a crash leaves little to check."""
        if log.closed_segments_are_unflushed:
            async with self._flushing(log):
                await self._flush_in_thread(log, closed_only=True)

    async def _retain(self, log: PartitionLog) -> None:
        async with self._flushing(log):
            if log is not self._compacting and log.failure is None:  # else it was deleted while we waited
                self.enforce_retention(log)

    async def compact(self, log: PartitionLog) -> None:
        """Compact a log if that is due by its settings. Raises OSError, KafkaError or CorruptFile if it fails."""
        if self._logs.get((log.topic, log.index)) is not log:
            return  # it is being deleted
        plan = log.plan_compaction(self._config.cleaner_dedupe_buffer_size // BYTES_PER_KEY, self._clock())
        if plan is None:
            return
        async with self._compaction:
            self._compacting, self._pace = log, Pace()
            self._pace.limit(self._config.cleaner_io_max_bytes_per_second)
            try:
                # Recovery takes no gap in offsets for granted, so it must never check again what is compacted now.
                await self.flush(log)
                await self._checkpoint(RECOVERY_POINTS)
                result = await self._run(plan)
                due_ms = self._clock() + log.config.file_delete_delay_ms
                self._removals += [(due_ms, path) for path in log.finish_compaction(result)]
                await self._checkpoint(FIRST_DIRTY_OFFSETS)
            except CompactionStopped:
                if self._logs.get((log.topic, log.index)) is log:  # else it is being deleted, and all is well
                    raise
            finally:
                self._compacting = None

    async def _run(self, plan: CompactionPlan) -> CompactionResult:
        """Run a plan in a thread; not even a cancelled caller goes before that has let go of the log's files."""
        running = asyncio.ensure_future(asyncio.to_thread(plan.run, self._pace))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise

    async def _expire_producers(self, log: PartitionLog) -> None:
        log.expire_producers(self._clock(), self._config.producer_id_expiration_ms)

    async def _checkpoint_recovery(self) -> None:
        await self._checkpoint(RECOVERY_POINTS, HIGH_WATERMARKS, FIRST_DIRTY_OFFSETS)

    async def _checkpoint_starts(self) -> None:
        await self._checkpoint(LOG_START_OFFSETS)

    async def _checkpoint(self, *names: str) -> None:
        """Write those of the checkpoints that have changed."""
        for name in names:
            await asyncio.to_thread(self._write_checkpoint, name)

    def _write_checkpoint(self, name: str) -> None:
        """Write one if it has changed. Runs in a thread; whoever writes last writes what was true last."""
        with self._writing_checkpoint:
            offsets = {key: _CHECKPOINTED[name](log) for key, log in list(self._logs.items())}
            offsets |= {key: offset for key, offset in self._checkpoints[name].items() if key in self._unopened}
            if offsets != self._checkpoints[name]:
                self.directory.write_offsets(name, offsets)
                self._checkpoints[name] = offsets

    async def _remove_due(self) -> None:
        paths = self.take_due_removals()
        if paths:
            retry_ms = self._clock() + _REMOVAL_RETRY_MS
            self._removals += [(retry_ms, path) for path in await asyncio.to_thread(self.remove, paths)]


_CHECKPOINTED: Final[dict[str, Callable[[PartitionLog], int]]] = {
    RECOVERY_POINTS: lambda log: log.recovery_point,
    LOG_START_OFFSETS: lambda log: log.log_start_offset,
    HIGH_WATERMARKS: lambda log: log.high_watermark,
    FIRST_DIRTY_OFFSETS: lambda log: log.first_dirty_offset,
}


def _settle(logs: list[PartitionLog], rewrites: Rewrites) -> bool:
    """Settle logs one after the other, whatever happens to the one before; True if all went well."""
    clean = True
    for log in logs:
        try:
            log.settle(rewrites)
        except (OSError, KafkaError) as error:
            logger.error("%s could not be closed cleanly: %s", log, error)
            clean = False
    return clean
