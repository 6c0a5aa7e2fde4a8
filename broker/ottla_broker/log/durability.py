"""What of a log is on the device, and how the rest of it gets there.

A flush has two halves: what a start reads instead of the segments, and the segments themselves. The first comes first,
so that a recovery point never claims more than can be found again without reading the batches. It writes beside what
is there, so a full disk does no harm: everything is as before. A device that fails the second leaves nobody knowing
what it has dropped, and the log takes no more appends.
"""

import errno
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from ottla_broker.log import checkpoints
from ottla_broker.log.config import LogConfig
from ottla_broker.log.disk import Disk, Rewrites, write_whole
from ottla_broker.log.epochs import LeaderEpochs
from ottla_broker.log.producers import Producers
from ottla_broker.log.segment import LOG_SUFFIX, Segment
from ottla_broker.log.segments import Segments
from ottla_broker.log.snapshots import Snapshots
from ottla_wire.errors import ErrorCode, KafkaError

NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class Durability:
    """How far one log is on the device. `log` names it in errors.

    `recovery_point` is the offset up to which it is, `unflushed_since_ms` when the first append came that is not.
    `failure` says why the log takes no more appends, if so: its device has failed, or it is closed.

    `flush` and `settle` may run in a thread, one at a time; all the rest belongs to the event loop's.
    """

    __slots__ = (
        "_directory",
        "_disk",
        "_epochs",
        "_epochs_file",
        "_flushing",
        "_log",
        "_made",
        "failure",
        "recovery_point",
        "unflushed_since_ms",
    )

    def __init__(
        self,
        disk: Disk,
        directory: Path,
        log: str,
        epochs: LeaderEpochs,
        recovery_point: int,
        unflushed_since_ms: int | None,
    ) -> None:
        self.recovery_point = recovery_point
        self.unflushed_since_ms = unflushed_since_ms
        self.failure: str | None = None
        self._disk = disk
        self._directory = directory
        self._log = log
        self._epochs = epochs
        self._epochs_file = directory / checkpoints.LEADER_EPOCHS
        # The names of files that were made since the last flush. It takes them while the log makes others.
        self._made: deque[str] = deque()
        self._flushing = threading.Lock()

    def made(self, name: str) -> None:
        """A file was made in the directory: the next flush is to sync it too, and its name."""
        self._made.append(name)

    def is_due(self, end: int, config: LogConfig, now_ms: int) -> bool:
        """Whether flush.ms or flush.messages asks for a flush of a log that ends there."""
        if self.unflushed_since_ms is None:
            return False
        waited = abs(now_ms - self.unflushed_since_ms) >= config.flush_ms  # or the clock was set back
        return waited or end - self.recovery_point >= config.flush_messages

    def flush(self, segments: Segments, *, closed_only: bool) -> None:
        """Force to the device all that was appended before; with `closed_only` all but the active segment.

        Raises KafkaError(KAFKA_STORAGE_ERROR) if that fails: `failure` says so unless there was only no room.
        """
        with self._flushing:
            self._check()
            since_ms = self.unflushed_since_ms
            if not closed_only:
                self.unflushed_since_ms = None
            end, flushed = segments.active.next_offset, segments.copy()
            try:
                _store_indexes(flushed[:-1])
                self._store_epochs()
            except OSError as error:
                self.unflushed_since_ms = since_ms
                raise self._failed(error, for_good=error.errno not in NO_ROOM) from error
            names = {self._made.popleft() for _ in range(len(self._made))}
            if closed_only:
                active = flushed.pop()
                end, name = active.base_offset, active.path(LOG_SUFFIX).name
                if name in names:
                    names.remove(name)
                    self._made.append(name)
            try:
                self._sync(flushed, names)
            except OSError as error:
                raise self._failed(error, for_good=True) from error
            self.recovery_point = max(self.recovery_point, end)

    def _check(self) -> None:
        if self.failure is not None:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, self.failure)

    def _failed(self, error: OSError, *, for_good: bool) -> KafkaError:
        reason = f"Flushing {self._log} failed: {error.strerror}"
        if for_good and self.failure is None:  # else it was closed or deleted meanwhile
            self.failure = reason
        return KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, reason)

    def _store_epochs(self) -> None:
        """Store the leader epochs if they have changed. If that fails they still count as changed."""
        if not self._epochs.dirty:
            return
        self._epochs.dirty = False
        try:
            write_whole(self._disk, self._epochs_file, checkpoints.encode_epochs(list(self._epochs)))
        except OSError:
            self._epochs.dirty = True
            raise

    def _sync(self, segments: Sequence[Segment], names: Iterable[str]) -> None:
        new = [path for name in names if self._disk.exists(path := self._directory / name)]
        for path in new:
            file = self._disk.open(path)
            file.sync()
            file.close()
        if new:
            self._disk.sync_directory(self._directory)
        for segment in segments:
            segment.sync()

    def settle(self, rewrites: Rewrites, segments: Segments, producers: Producers, snapshots: Snapshots) -> None:
        """Write what a clean stop leaves behind, except for what is there already. Nothing may be appended after.

        Raises OSError if the disk fails, and KAFKA_STORAGE_ERROR if it has failed before.
        """
        with self._flushing:
            self._check()
            active, end = segments.active, segments.active.next_offset
            if end > self.recovery_point or (active.size and not active.indexes_stored):
                active.trim()
                active.close_indexes()
                if producers or snapshots:
                    rewrites.add(snapshots.path(end), producers.encode())
                for segment in segments:
                    if not segment.indexes_stored:
                        for path, contents in segment.index_contents():
                            rewrites.add(path, contents)
            if self._epochs.dirty:
                rewrites.add(self._epochs_file, checkpoints.encode_epochs(list(self._epochs)))


def _store_indexes(closed: Iterable[Segment]) -> None:
    for segment in closed:
        if not segment.indexes_stored:
            segment.store_indexes()
