"""Stores on disk, in RocksDB.

One database holds all stores of a worker, each under a prefix of its own. One database instead of one per task means
one write-ahead log, one block cache and one bound on the write buffers, however many partitions are assigned; prefixes
instead of column families mean that opening a store costs nothing, where RocksDB writes the options of all families
anew for each one that is created.

    0 i NAME     -> the number of a store            NUMBER KEY -> a value of the store
    0 o NAME     -> its changelog offset             (numbers are 4 bytes)
    0 w NAME     -> when it was written last, in milliseconds

A commit is kept in memory (`unwritten.py`), until those of all stores together take `unwritten_bytes` or are so many
changes that reading them from the changelog again would take long. Then each store is written. One without a changelog
is written with every commit.

**Why a crash leaves every store exact for its own offset.** The changes of a store, of any number of commits, and the
offset of the last one are written in one `WriteBatch`, which RocksDB applies atomically. The write-ahead log is on but
not synced: after a SIGKILL the kernel still has it, after a power failure RocksDB recovers a prefix of the log. That is
an earlier commit whole, and the changelog supplies the rest. Only committed state is written, so nothing ever needs to
be rolled back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rocksdict import (
    BlockBasedIndexType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteBufferManager,
)

from ottla.errors import StateError
from ottla.state.changes import Change, KeyRange
from ottla.state.store import KeyValueStore
from ottla.state.unwritten import UNKNOWN, Unwritten

log = logging.getLogger("ottla.state")

_NUMBERS, _OFFSETS, _TIMES = b"\x00\x00\x00\x00i", b"\x00\x00\x00\x00o", b"\x00\x00\x00\x00w"

_UNWRITTEN_CHANGES = 1_000_000
"""So many are restored in a second. Small states that change all the time come to that, and never to the bytes."""


class RocksStore:
    """A `KeyValueStore` under one prefix of the worker's database."""

    def __init__(self, stores: RocksStores, name: str, number: int, *, restorable: bool) -> None:
        self._stores = stores
        self._database = stores.database
        self._name = name
        self._prefix = _prefix(number)
        self._behind = _prefix(number + 1)
        self._offset_key = _OFFSETS + name.encode()
        self._time_key = _TIMES + name.encode()
        self._offset = self._written_offset = stores.stored_offset(name)
        self._written_ms = stores.stored_time_ms(name)
        self._restorable = restorable
        self._unwritten = Unwritten()

    @property
    def offset(self) -> int | None:
        return self._offset

    @property
    def age_ms(self) -> int | None:
        return None if self._written_ms is None else self._stores.now_ms() - self._written_ms

    def get(self, key: bytes) -> bytes | None:
        value: Any = self._unwritten.get(key)
        if value is UNKNOWN:
            try:
                value = self._database.get(self._prefix + key)
            except Exception as error:  # rocksdict raises bare Exception
                raise self._stores.refused("read", error) from error
        found: bytes | None = value
        return found

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._unwritten.over(self._stored(start, end, reverse), start, end, reverse=reverse)

    def write_batch(self, changes: Sequence[Change], offset: int | None, dropped: Sequence[KeyRange] = ()) -> None:
        if offset is not None:
            self._offset = offset
        self._written_ms = self._stores.now_ms()
        self._stores.added(len(changes), self._unwritten.add(changes, dropped))
        if not self._restorable:
            self.write()

    def restore(self, changes: Sequence[Change], offset: int | None, dropped: Sequence[KeyRange] = ()) -> None:
        # What is read from a changelog is mostly the last change of its key already: to put it off would save nothing.
        self.write()
        if self._written_ms is None:
            self._written_ms = self._stores.now_ms()
        if offset is not None:
            self._offset = offset
        self._write(changes, self._offset, dropped)

    def write(self) -> None:
        """What is committed to disk, with its offset, whole or not at all."""
        unwritten = self._unwritten
        if unwritten.count or unwritten.dropped or self._offset != self._written_offset:
            self._write(unwritten.items(), self._offset, unwritten.dropped)
            self._stores.took(unwritten)
            unwritten.clear()

    def _write(self, changes: Iterable[Change], offset: int | None, dropped: Sequence[KeyRange] = ()) -> None:
        batch = WriteBatch(raw_mode=True)
        put, delete, prefix = batch.put, batch.delete, self._prefix
        for start, end in dropped:
            batch.delete_range(prefix + start, prefix + end)
        for key, value in changes:
            if value is None:
                delete(prefix + key)
            else:
                put(prefix + key, value)
        if offset is not None:
            put(self._offset_key, offset.to_bytes(8, "big"))
        if self._written_ms is not None:
            put(self._time_key, self._written_ms.to_bytes(8, "big"))
        self._stores.commit(batch)
        self._written_offset = offset

    def reckon(self) -> int:
        """What it has not written takes so many bytes in memory."""
        return self._unwritten.reckon()

    def clear(self) -> None:
        batch = WriteBatch(raw_mode=True)
        batch.delete(self._offset_key)
        batch.delete(self._time_key)
        batch.delete_range(self._prefix, self._behind)
        self._stores.commit(batch)
        self._offset = self._written_offset = self._written_ms = None
        self._stores.took(self._unwritten)
        self._unwritten.clear()

    def close(self) -> None:
        try:
            self.write()
        except StateError:
            # The stores tell of it when they are closed. What is not on disk is in the changelog.
            log.debug("store %s is left as it was written before", self._name)
        finally:
            self._stores.released(self._name)

    def _stored(self, start: bytes | None, end: bytes | None, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        options = ReadOptions()
        first = self._prefix if start is None else self._prefix + start
        options.set_iterate_upper_bound(self._behind if end is None else self._prefix + end)
        cursor = self._database.iter(options)
        width = len(self._prefix)
        if reverse:
            cursor.seek_to_last()
            # What lies before it is another store's: a lower bound does not hold cursors back.
            while cursor.valid() and (key := cursor.key()) >= first:
                yield key[width:], cursor.value()
                cursor.prev()
        else:
            cursor.seek(first)
            while cursor.valid():
                yield cursor.key()[width:], cursor.value()
                cursor.next()
        try:
            cursor.status()
        except Exception as error:  # rocksdict raises bare Exception
            raise self._stores.refused("read", error) from error


class RocksStores:
    """`Stores` in one directory. Memory is bounded for all of them together, whatever the number of partitions.

    `cache_bytes` bounds the block cache and the memtables together, index and filter blocks included;
    `write_buffer_bytes` is the part of it that memtables may take. `unwritten_bytes` bounds what is committed and not
    written yet. `clock` gives seconds since the epoch.

    Reading, writing and closing raise `StateError` where the disk does not do it. After a write that failed nothing
    more is written: the changelogs have it.
    """

    def __init__(
        self,
        directory: Path,
        *,
        cache_bytes: int = 64 * 1024 * 1024,
        write_buffer_bytes: int = 32 * 1024 * 1024,
        unwritten_bytes: int = 48 * 1024 * 1024,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._cache = Cache(cache_bytes)
        self._write_buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            write_buffer_bytes, allow_stall=False, cache=self._cache
        )
        self._write_buffer_bytes = write_buffer_bytes
        self._unwritten_bytes = unwritten_bytes
        # Of all stores: how many changes are not written, and what memory they take.
        self._count = self._held_bytes = 0
        self._opened: dict[str, RocksStore] = {}
        self._directory = directory
        self._failure: StateError | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self.database = Rdict(str(directory), self._options())
        except Exception as error:  # rocksdict raises bare Exception
            raise self.refused("opened", error) from error
        self._numbers = dict(self._stored_numbers())

    def open(self, task: str, name: str, *, restorable: bool = True) -> KeyValueStore:
        full_name = f"{task}/{name}"
        if full_name in self._opened:
            raise StateError(f"store {name!r} of task {task} is open already")
        if full_name not in self._numbers:
            number = max(self._numbers.values(), default=0) + 1
            batch = WriteBatch(raw_mode=True)
            batch.put(_NUMBERS + full_name.encode(), _prefix(number))
            self.commit(batch)
            self._numbers[full_name] = number
        store = self._opened[full_name] = RocksStore(self, full_name, self._numbers[full_name], restorable=restorable)
        return store

    def offset(self, task: str, name: str) -> int | None:
        opened = self._opened.get(f"{task}/{name}")
        return self.stored_offset(f"{task}/{name}") if opened is None else opened.offset

    def added(self, count: int, held_bytes: int) -> None:
        """A store has taken changes that it has not written. Writes all stores if there are too many."""
        self._count += count
        self._held_bytes += held_bytes
        if self._held_bytes > self._unwritten_bytes:
            self._held_bytes = sum(store.reckon() for store in self._opened.values())
        # What is nearly too much is written at once, or it would be reckoned again with every commit.
        if self._held_bytes > 0.9 * self._unwritten_bytes or self._count > _UNWRITTEN_CHANGES:
            for store in self._opened.values():
                store.write()

    def took(self, unwritten: Unwritten) -> None:
        """A store is about to forget these."""
        self._count -= unwritten.count
        self._held_bytes -= unwritten.told_bytes

    def stored_offset(self, full_name: str) -> int | None:
        return self._stored_number(_OFFSETS + full_name.encode())

    def stored_time_ms(self, full_name: str) -> int | None:
        return self._stored_number(_TIMES + full_name.encode())

    def _stored_number(self, key: bytes) -> int | None:
        stored = self.database.get(key)
        return None if stored is None else int.from_bytes(stored, "big")

    def now_ms(self) -> int:
        return int(1000 * self._clock())

    def released(self, full_name: str) -> None:
        del self._opened[full_name]

    def commit(self, batch: WriteBatch) -> None:
        """Writes the batch, whole or not at all."""
        if self._failure is not None:
            raise self._failure
        try:
            self.database.write(batch)
        except Exception as error:  # rocksdict raises bare Exception
            self._failure = self.refused("written", error)
            raise self._failure from error

    def refused(self, what: str, error: Exception) -> StateError:
        """That the state cannot be read, written or opened, and what to do."""
        reason = str(error)
        if "No space left" in reason:
            advice = "make room on that disk and start the worker again, which restores what is missing"
        elif "Permission denied" in reason:
            advice = "let the user that the worker runs as read and write it"
        else:
            advice = "remove that directory to restore from the changelogs"
        return StateError(f"the state in {self._directory} cannot be {what} ({reason}); {advice}")

    def close(self) -> None:
        """Flushes, so that the next start has no log to replay. Every store must be closed before."""
        try:
            if self._failure is None:
                self.database.flush(wait=True)
            self.database.close()
        except Exception as error:  # rocksdict raises bare Exception
            self._failure = self._failure or self.refused("written", error)
        if self._failure is not None:
            raise self._failure

    def _stored_numbers(self) -> Iterator[tuple[str, int]]:
        options = ReadOptions()
        options.set_iterate_upper_bound(_OFFSETS)
        cursor = self.database.iter(options)
        cursor.seek(_NUMBERS)
        while cursor.valid():
            yield cursor.key()[len(_NUMBERS) :].decode(), int.from_bytes(cursor.value(), "big")
            cursor.next()
        cursor.status()

    def _options(self) -> Options:
        table = BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_block_size(16 * 1024)
        table.set_bloom_filter(10, block_based=False)
        # The cache is in shards of a megabyte, and what does not fit into one is never kept: whole filters and indexes
        # of large files would be read anew for each key.
        table.set_index_type(BlockBasedIndexType.two_level_index_search())
        table.set_partition_filters(True)
        table.set_metadata_block_size(4096)
        table.set_pin_top_level_index_and_filter(True)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_write_buffer_manager(self._write_buffers)
        options.set_write_buffer_size(self._write_buffer_bytes // 2)
        options.set_max_open_files(512)
        options.set_keep_log_file_num(2)
        options.set_stats_dump_period_sec(0)
        return options


def _prefix(number: int) -> bytes:
    return number.to_bytes(4, "big")
