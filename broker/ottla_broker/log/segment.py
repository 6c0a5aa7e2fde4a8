"""One segment of a log: a file of record batches, its three indexes, and the means to find a place in it.

    00000000000000000000.log          batches, one after the other
    00000000000000000000.index        offset index        (index.py)
    00000000000000000000.timeindex    time index          (index.py)
    00000000000000000000.txnindex     aborted transactions, only if there are any    (transactions.py)

The last segment of a log is the active one, the only one that grows. Its indexes live in memory; they are stored when
the segment has been closed or rolled and is flushed. That is enough, because after a crash every segment that may
have unflushed bytes is scanned anyway, and its indexes with it. The indexes of the other segments are mapped when
first needed, and rebuilt from the log file if they are missing or wrong.

A consumer near the end finds its place without a system call: the positions of the latest batches are kept in memory,
and so is, for a few consumers further back, the place where the last read of each has ended.
"""

import zlib
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ottla_broker.log.config import INT32_MAX, LogConfig
from ottla_broker.log.disk import Data, Disk, File, write_rest, write_whole
from ottla_broker.log.epochs import LeaderEpochs
from ottla_broker.log.errors import CorruptFile
from ottla_broker.log.header import BatchHeader, BatchLike
from ottla_broker.log.index import NO_TIMESTAMP, OffsetIndex, TimeIndex
from ottla_broker.log.scan import scan_headers, scan_valid
from ottla_broker.log.transactions import TransactionIndex

LOG_SUFFIX: Final = ".log"
OFFSET_INDEX_SUFFIX: Final = ".index"
TIME_INDEX_SUFFIX: Final = ".timeindex"
TRANSACTION_INDEX_SUFFIX: Final = ".txnindex"
SNAPSHOT_SUFFIX: Final = ".snapshot"
SUFFIXES: Final = (LOG_SUFFIX, OFFSET_INDEX_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_INDEX_SUFFIX)

# What follows the suffix of a file that is not part of the log: one that compaction still writes, one that is complete
# and about to take the place of older ones, one that is about to be removed.
CLEANED_EXTENSION: Final = ".cleaned"
SWAP_EXTENSION: Final = ".swap"
DELETED_EXTENSION: Final = ".deleted"

_RECENT_BATCHES: Final = 256  # the least that is remembered once there are as many; twice as much at most
_READ_ENDS: Final = 64
_SCAN_BLOCK: Final = 1024 * 1024


def file_name(offset: int, suffix: str) -> str:
    """The name of a file that belongs to `offset`: twenty digits and the suffix."""
    return f"{offset:020d}{suffix}"


class Segment:
    """A segment; `size` and `next_offset` say where the valid batches end."""

    __slots__ = (
        "_bytes_since_index",
        "_disk",
        "_first_timestamp",
        "_offset_index",
        "_read_ends",
        "_recent_base",
        "_recent_last_offsets",
        "_recent_positions",
        "_time_index",
        "_transaction_index",
        "base_offset",
        "created_ms",
        "directory",
        "extension",
        "file",
        "indexes_stored",
        "max_timestamp",
        "max_timestamp_offset",
        "next_offset",
        "offset_limit",
        "size",
        "unsynced",
    )

    def __init__(self, disk: Disk, directory: Path, base_offset: int, file: File, size: int, created_ms: int) -> None:
        self._disk = disk
        self.directory = directory
        self.base_offset = base_offset
        self.file = file
        self.size = size
        self.created_ms = created_ms
        self.extension = ""
        self.next_offset = base_offset
        self.offset_limit = base_offset + INT32_MAX + 1  # the first that is too far from the base for the indexes
        self.max_timestamp = NO_TIMESTAMP
        self.max_timestamp_offset = base_offset
        self.indexes_stored = False
        self.unsynced = True
        self._first_timestamp: int | None = None
        self._offset_index: OffsetIndex | None = None
        self._time_index: TimeIndex | None = None
        self._transaction_index: TransactionIndex | None = None
        self._bytes_since_index = 0
        self._recent_base = base_offset
        self._recent_last_offsets = array("q")
        self._recent_positions = array("q")
        self._read_ends: dict[int, int] = {}

    @classmethod
    def create(cls, disk: Disk, directory: Path, base_offset: int, config: LogConfig, now_ms: int) -> "Segment":
        """A new, empty segment, ready to append to. Replaces the leftovers of one that was never used."""
        file = disk.open(directory / file_name(base_offset, LOG_SUFFIX), create=True)
        file.truncate(0)
        if config.preallocate:
            file.allocate(config.segment_bytes)
        segment = cls(disk, directory, base_offset, file, 0, now_ms)
        segment.clear_indexes()
        return segment

    @classmethod
    def create_cleaned(cls, disk: Disk, directory: Path, base_offset: int, now_ms: int) -> "Segment":
        """A new, empty segment that is not part of the log yet: compaction writes to it."""
        file = disk.open(directory / (file_name(base_offset, LOG_SUFFIX) + CLEANED_EXTENSION), create=True)
        file.truncate(0)
        segment = cls(disk, directory, base_offset, file, 0, now_ms)
        segment.extension = CLEANED_EXTENSION
        segment.clear_indexes()
        return segment

    @classmethod
    def load(cls, disk: Disk, directory: Path, base_offset: int) -> "Segment":
        """A segment that is on disk, taken as it is; see `recover` and `find_end` for the end of the log."""
        path = directory / file_name(base_offset, LOG_SUFFIX)
        file = disk.open(path)
        segment = cls(disk, directory, base_offset, file, file.size(), disk.modified_ms(path))
        segment.indexes_stored = True
        segment.unsynced = False
        segment.next_offset = segment.offset_limit  # not known yet
        return segment

    def path(self, suffix: str) -> Path:
        """The path of one of the segment's files."""
        return self.directory / (file_name(self.base_offset, suffix) + self.extension)

    # ---- appending

    def must_roll(self, size: int, last_offset: int, max_timestamp: int, config: LogConfig, now_ms: int) -> bool:
        """Whether batches of `size` bytes up to `last_offset` belong into a new segment."""
        if self.size == 0:
            return last_offset >= self.offset_limit
        longest_ms = config.longest_segment_ms
        if config.segment_jitter_ms:
            longest_ms -= self._jitter_ms(config)
        return (
            self.size + size > config.segment_bytes
            or last_offset >= self.offset_limit
            or self._waited_ms(max_timestamp, now_ms) > longest_ms
            or (self._bytes_since_index > config.index_interval_bytes and self._indexes_are_full(config))
        )

    def _indexes_are_full(self, config: LogConfig) -> bool:
        """Whether another entry would exceed segment.index.bytes; the time index also needs one when it is closed."""
        offsets_size = (len(self.offset_index) + 1) * OffsetIndex.ENTRY.size
        times_size = (len(self.time_index) + 2) * TimeIndex.ENTRY.size
        return max(offsets_size, times_size) > config.segment_index_bytes

    def _waited_ms(self, max_timestamp: int, now_ms: int) -> int:
        """How long the segment has been open: in the records' time where they have one, else by the clock."""
        first = self._first_timestamp
        if first is None:
            first = self.first_timestamp()
        return max_timestamp - first if first >= 0 else now_ms - self.created_ms

    def first_timestamp(self) -> int:
        """The largest timestamp of the first batch, -1 if there is none."""
        if self._first_timestamp is None:
            header = next((header for _, header in scan_headers(self.file, 0, self.size)), None)
            self._first_timestamp = header.max_timestamp if header is not None else NO_TIMESTAMP
        return self._first_timestamp

    def _jitter_ms(self, config: LogConfig) -> int:
        """A part of segment.jitter.ms that differs from segment to segment, but not from one call to the next."""
        seed = zlib.crc32(str(self.path(LOG_SUFFIX)).encode())
        return seed % min(config.segment_jitter_ms, config.longest_segment_ms)

    def append(self, data: Data, batches: Sequence[BatchLike], index_interval_bytes: int) -> None:
        """Write whole batches at the end. If that fails, OSError is raised and nothing has changed."""
        position = self.size
        self.indexes_stored = False
        self.unsynced = True
        try:
            written = self.file.write(data, position)
            if written < len(data):
                write_rest(self.file, data, position, written)
        except OSError:
            self.file.truncate(position)
            raise
        if position == 0:
            self._first_timestamp = batches[0].max_timestamp
        for batch in batches:
            self._note(batch, position, index_interval_bytes)
            position += batch.size
        self.size = position

    def _note(self, batch: BatchLike, position: int, index_interval_bytes: int) -> None:
        """Take account of the batch at `position`, the next one after `next_offset`."""
        last_offset = batch.last_offset
        positions = self._recent_positions
        if not positions:
            self._recent_base = batch.base_offset
        if batch.max_timestamp > self.max_timestamp:
            self.max_timestamp = batch.max_timestamp
            self.max_timestamp_offset = last_offset
        if self._bytes_since_index > index_interval_bytes:
            self.offset_index.append(last_offset, position)
            self.time_index.maybe_append(self.max_timestamp, self.max_timestamp_offset)
            self._bytes_since_index = 0
        self._bytes_since_index += batch.size
        self.next_offset = last_offset + 1
        positions.append(position)
        self._recent_last_offsets.append(last_offset)
        if len(positions) > 2 * _RECENT_BATCHES:
            self._recent_base = self._recent_last_offsets[_RECENT_BATCHES - 1] + 1
            del positions[:_RECENT_BATCHES]
            del self._recent_last_offsets[:_RECENT_BATCHES]

    def close_indexes(self) -> None:
        """No more batches will come (for now): complete the time index, so that its last entry is the newest record."""
        if self.max_timestamp >= 0:
            self.time_index.maybe_append(self.max_timestamp, self.max_timestamp_offset)
        self.indexes_stored = False

    # ---- indexes

    @property
    def offset_index(self) -> OffsetIndex:
        if self._offset_index is None:
            self._load_indexes()
            assert self._offset_index is not None
        return self._offset_index

    @property
    def time_index(self) -> TimeIndex:
        if self._time_index is None:
            self._load_indexes()
            assert self._time_index is not None
        return self._time_index

    @property
    def transaction_index(self) -> TransactionIndex:
        """Raises CorruptFile; `recovery.py` checks the stored ones, and only replaying the log can rebuild them."""
        if self._transaction_index is None:
            path = self.path(TRANSACTION_INDEX_SUFFIX)
            stored = self._disk.view(path) if self._disk.exists(path) else b""
            self._transaction_index = TransactionIndex.load(self.base_offset, memoryview(stored))
        return self._transaction_index

    def _load_indexes(self) -> None:
        try:
            offsets = memoryview(self._disk.view(self.path(OFFSET_INDEX_SUFFIX)))
            times = memoryview(self._disk.view(self.path(TIME_INDEX_SUFFIX)))
            self._offset_index = OffsetIndex.load(self.base_offset, offsets, self.size)
            self._time_index = TimeIndex.load(self.base_offset, times, self.next_offset)
        except (FileNotFoundError, CorruptFile):
            self.rebuild_indexes(LogConfig().index_interval_bytes)
        else:
            self.max_timestamp, self.max_timestamp_offset = self._time_index.last

    def clear_indexes(self) -> None:
        """Begin with empty indexes in memory."""
        self._offset_index = OffsetIndex(self.base_offset)
        self._time_index = TimeIndex(self.base_offset)
        self._transaction_index = TransactionIndex()
        self._bytes_since_index = 0
        self.indexes_stored = False

    def rebuild_indexes(self, index_interval_bytes: int) -> None:
        """Make the offset and the time index anew from the batch headers."""
        self._offset_index = OffsetIndex(self.base_offset)
        self._time_index = TimeIndex(self.base_offset)
        self._reset_tail()
        self.max_timestamp, self.max_timestamp_offset = NO_TIMESTAMP, self.base_offset
        self._bytes_since_index = 0
        for position, header in scan_headers(self.file, 0, self.size, block_size=_SCAN_BLOCK):
            self._note(header, position, index_interval_bytes)
        self.close_indexes()

    def clear_transaction_index(self) -> None:
        """Begin with an empty one in memory, to be filled by replaying the log."""
        self._transaction_index = TransactionIndex()
        self.indexes_stored = False

    def index_contents(self) -> list[tuple[Path, bytes]]:
        """The index files and what is to be in them, in the order in which they are to be written: a crash that leaves
        the other two has left the transaction index, too.
        """
        contents = []
        if len(self.transaction_index) or self._disk.exists(self.path(TRANSACTION_INDEX_SUFFIX)):
            contents.append((self.path(TRANSACTION_INDEX_SUFFIX), bytes(self.transaction_index.entries)))
        contents.append((self.path(OFFSET_INDEX_SUFFIX), bytes(self.offset_index.entries)))
        contents.append((self.path(TIME_INDEX_SUFFIX), bytes(self.time_index.entries)))
        return contents

    def store_indexes(self) -> None:
        """Write the index files, durably."""
        for path, contents in self.index_contents():
            write_whole(self._disk, path, contents)
        self.indexes_stored = True

    def release_indexes(self) -> None:
        """The stored files hold all there is: free the memory, and map them when needed."""
        self._offset_index = self._time_index = self._transaction_index = None
        self._reset_tail()
        self.indexes_stored = True

    def _reset_tail(self) -> None:
        self._recent_positions = array("q")
        self._recent_last_offsets = array("q")
        self._read_ends.clear()

    # ---- finding the end

    def recover(
        self,
        end_offset: int,
        index_interval_bytes: int,
        epochs: LeaderEpochs,
        *,
        gaps: bool,
        proceed: Callable[[], None],
    ) -> bool:
        """Check every batch, rebuild the indexes, and cut the file after the last good batch; True if anything was cut.

        Batches from `end_offset` on belong to the next segment. Offsets must continue from one batch to the next; with
        `gaps` they may skip, as compaction leaves them. New leader epochs are noted in `epochs`. The transaction index
        stays empty: only replaying the producers can fill it. `proceed` is called for each batch, and may raise.
        """
        self.clear_indexes()
        self._reset_tail()
        self.unsynced = True  # what is here may be in the page cache only
        self.next_offset = self.base_offset
        self.max_timestamp, self.max_timestamp_offset = NO_TIMESTAMP, self.base_offset
        end = 0
        for position, batch in scan_valid(self.file, self.size):
            proceed()
            skipped = batch.base_offset - self.next_offset
            if skipped < 0 or (skipped > 0 and not gaps) or batch.last_offset >= end_offset:
                break
            if batch.partition_leader_epoch > epochs.latest:
                epochs.assign(batch.partition_leader_epoch, batch.base_offset)
            self._note(batch, position, index_interval_bytes)
            end = position + batch.size
        cut = end != self.size
        if cut:
            self._cut_off(end)
        return cut

    def check_end(self) -> None:
        """Cut off what lies behind the last batch of a segment that is trusted up to `next_offset`.

        That is what an append that has failed may leave, if its removal was not flushed before the segment was rolled.
        """
        end = self._last_indexed()
        if end is None:
            self.rebuild_indexes(LogConfig().index_interval_bytes)
            end = 0
        for position, header in scan_headers(self.file, end, self.size):
            if header.last_offset >= self.next_offset:
                break
            end = position + header.size
        if end != self.size:
            self._cut_off(end)

    def _cut_off(self, end: int) -> None:
        """End the file at `end`, durably: a later crash must not bring back what lay there behind new batches."""
        self.file.truncate(end)
        self.file.sync()
        self.size = end

    def find_end(self, index_interval_bytes: int) -> None:
        """Find `next_offset` and get ready to append, trusting the stored indexes and all that they cover.

        What follows the last index entry is walked; bytes that are no batches are cut off.
        """
        size = self.size
        stored_offsets, stored_times = self.offset_index, self.time_index
        stored = self.indexes_stored
        self._offset_index = OffsetIndex(self.base_offset, bytearray(stored_offsets.entries))
        self._time_index = TimeIndex(self.base_offset, bytearray(stored_times.entries))
        self.max_timestamp, self.max_timestamp_offset = stored_times.last
        self._resume(index_interval_bytes)
        self.indexes_stored = stored and self.size == size
        if self._time_index.last[1] >= max(self.next_offset, self.base_offset + 1):
            self.rebuild_indexes(index_interval_bytes)

    def _resume(self, index_interval_bytes: int) -> None:
        """Walk from the last index entry to the end of the file, and cut off what is no whole batch."""
        position = self._last_indexed()
        if position is None:
            self._offset_index, self._time_index = OffsetIndex(self.base_offset), TimeIndex(self.base_offset)
            self.max_timestamp, self.max_timestamp_offset = NO_TIMESTAMP, self.base_offset
            position = 0
        self._reset_tail()
        self._bytes_since_index = 0
        self.next_offset = self.base_offset
        for at, header in scan_headers(self.file, position, self.size):
            self._note(header, at, index_interval_bytes)  # the first one is not indexed again: no bytes lie before it
            position = at + header.size
        if position != self.size:
            self._cut_off(position)
        self.indexes_stored = False

    def _last_indexed(self) -> int | None:
        """Where the last entry of the offset index says that a batch begins, 0 without entries; None if it is wrong.

        What lies behind is cut off, so an index that was damaged must not be believed.
        """
        if not len(self.offset_index):
            return 0
        offset, position = self.offset_index.entry(len(self.offset_index) - 1)
        _, header = next(scan_headers(self.file, position, self.size), (0, None))
        if header is None or not self.base_offset <= header.base_offset <= header.last_offset <= offset:
            return None
        return position

    def newest_timestamp(self) -> tuple[int, int]:
        """The largest timestamp and the last offset of its batch, (-1, ...) if no record has a timestamp."""
        if self.max_timestamp == NO_TIMESTAMP and self._time_index is None:
            self.max_timestamp, self.max_timestamp_offset = self._stored_newest_timestamp()
        return self.max_timestamp, self.max_timestamp_offset

    def _stored_newest_timestamp(self) -> tuple[int, int]:
        """Only the last entry of the stored time index, without mapping it: retention asks this of every segment."""
        try:
            file = self._disk.open(self.path(TIME_INDEX_SUFFIX))
            size = file.size()
            last = file.read(TimeIndex.ENTRY.size, max(0, size - TimeIndex.ENTRY.size))
            file.close()
            return TimeIndex.load(self.base_offset, last, self.next_offset).last
        except (FileNotFoundError, CorruptFile):
            return self.time_index.last

    # ---- reading

    def locate(self, offset: int) -> int:
        """The position of the first batch that ends at `offset` or later; the end of the segment if there is none."""
        if offset >= self.next_offset:
            return self.size
        position = self._read_ends.get(offset)
        if position is not None:
            return position
        recent = self._recent_last_offsets
        if recent and offset >= self._recent_base:
            number = bisect_left(recent, offset)  # beyond all, if compaction has left nothing at the segment's end
            return self._recent_positions[number] if number < len(recent) else self.size
        found = self._search(offset)
        if found is None:
            self.rebuild_indexes(LogConfig().index_interval_bytes)
            found = self._search(offset)
        return self.size if found is None else found  # None still: the file itself is damaged from there on

    def _search(self, offset: int) -> int | None:
        """`locate` by the index; None if the index has led astray."""
        start = position = self.offset_index.lookup(offset)
        for at, header in scan_headers(self.file, start, self.size):
            if at == start > 0 and header.last_offset > offset:
                return None
            if header.last_offset >= offset:
                self._remember(offset, at)
                return at
            position = at + header.size
        return position if position == self.size else None

    def _remember(self, offset: int, position: int) -> None:
        ends = self._read_ends
        if len(ends) >= _READ_ENDS:
            del ends[next(iter(ends))]
        ends[offset] = position

    def cut(self, start: int, end: int) -> int:
        """The last batch boundary in [start, end], where `start` is one."""
        if end >= self.size:
            return self.size
        positions = self._recent_positions
        if positions and end >= positions[0]:
            return positions[bisect_right(positions, end) - 1]
        found = self._cut(max(start, self.offset_index.boundary(end)), end)
        if found is None:
            self.rebuild_indexes(LogConfig().index_interval_bytes)
            found = self._cut(start, end)
        return start if found is None else found

    def _cut(self, position: int, end: int) -> int | None:
        """`cut` from a boundary on; None if no batch begins there, because the index has led astray."""
        found = None
        for at, header in scan_headers(self.file, position, self.size):
            if at + header.size > end:
                self._remember(header.base_offset, at)
                return at
            found = at + header.size
        return found

    def batch_end(self, position: int) -> int:
        """Where the batch at `position` ends."""
        positions = self._recent_positions
        if positions and position >= positions[0]:
            after = bisect_right(positions, position)
            return positions[after] if after < len(positions) else self.size
        for _, header in scan_headers(self.file, position, self.size, block_size=256):
            return position + header.size
        return self.size

    def offset_at(self, position: int) -> int:
        """The base offset of the batch at `position`."""
        for _, header in scan_headers(self.file, position, self.size, block_size=256):
            return header.base_offset
        return self.next_offset

    def scan_timestamp(self, timestamp: int, start_offset: int) -> Iterator[tuple[int, BatchHeader]]:
        """The (position, header) of the batches that reach `start_offset` and hold `timestamp` or a later one."""
        _, passed_offset = self.time_index.lookup(timestamp)
        position = self.offset_index.lookup(max(passed_offset, start_offset))
        for at, header in scan_headers(self.file, position, self.size):
            if header.max_timestamp >= timestamp and header.last_offset >= start_offset:
                yield at, header

    # ---- the end of it

    def truncate(self, offset: int, index_interval_bytes: int) -> None:
        """Remove the batches that reach `offset` or beyond; the segment is then the active one again.

        A batch that holds `offset` in its midst goes as a whole, so the log may end before `offset`.
        """
        position = self.locate(offset)
        offset_index, time_index, transaction_index = self.offset_index, self.time_index, self.transaction_index
        self._cut_off(position)
        offset_index.truncate(offset)
        time_index.truncate(offset)
        transaction_index.truncate(offset)
        self.max_timestamp, self.max_timestamp_offset = time_index.last
        self._resume(index_interval_bytes)
        if position == 0:
            self._first_timestamp = None

    def trim(self) -> None:
        """Give back the disk space that was reserved beyond the last batch."""
        if self.file.size() > self.size:
            self.unsynced = True
            self.file.truncate(self.size)

    def sync(self) -> None:
        """Force the file to the device if it was written to since; may run in a thread while the segment grows."""
        if self.unsynced:
            self.unsynced = False
            self.file.sync()

    def rename(self, extension: str) -> None:
        """Give all files another extension; "" makes them a part of the log.

        Becoming a swap file, the log comes last: with it the set is complete. Leaving that state it comes first:
        without it no swap is to be finished. See `recovery.finish_swaps`.
        """
        present = [suffix for suffix in SUFFIXES if self._disk.exists(self.path(suffix))]
        moves = [(self.path(suffix), suffix) for suffix in present]
        self.extension = extension
        for source, suffix in reversed(moves) if extension == SWAP_EXTENSION else moves:
            self._disk.rename(source, self.path(suffix))

    def rename_deleted(self) -> list[Path]:
        """Take the files out of the log by their names; returns the new ones. Reads under way are not disturbed."""
        self.rename(DELETED_EXTENSION)
        self.close()
        return [path for suffix in SUFFIXES if self._disk.exists(path := self.path(suffix))]

    def remove(self) -> None:
        """Remove the files at once; only while nobody reads the log."""
        for suffix in SUFFIXES:
            if self._disk.exists(self.path(suffix)):
                self._disk.remove(self.path(suffix))
        self.close()

    def close(self) -> None:
        """Let go of the file and the mapped indexes."""
        self._offset_index = self._time_index = self._transaction_index = None
        self.file.close()
