"""Stores on disk, in RocksDB.

One database holds all stores of a worker: one column family per task and store, and the default column family for their
changelog offsets. One database instead of one per task means one write-ahead log, one block cache and one bound on the
write buffers, however many partitions are assigned.

**Why a crash leaves every store exact for its own offset.** A commit writes the changes of a store and its offset in
one `WriteBatch`, which RocksDB applies atomically across column families. The write-ahead log is on but not synced:
after a SIGKILL the kernel still has it, so that a restart replays nothing from the changelog; after a power failure
RocksDB recovers a prefix of the log, that is an earlier commit whole, and the changelog supplies the rest. Only
committed state is written, so nothing ever needs to be rolled back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rocksdict import (
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
from ottla.state.store import KeyValueStore

_OFFSETS = "default"


class RocksStore:
    """A `KeyValueStore` in one column family of the worker's database."""

    def __init__(self, stores: RocksStores, name: str, family: Rdict) -> None:
        self._stores = stores
        self._name = name
        self._family = family
        self._handle = stores.database.get_column_family_handle(name)
        self._offset_key = name.encode()
        self._offset = stores.stored_offset(name)

    @property
    def offset(self) -> int | None:
        return self._offset

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._family.get(key)
        return value

    def range(self, start: bytes | None = None, end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        options = ReadOptions()
        if end is not None:
            options.set_iterate_upper_bound(end)
        cursor = self._family.iter(options)
        if start is None:
            cursor.seek_to_first()
        else:
            cursor.seek(start)
        while cursor.valid():
            yield cursor.key(), cursor.value()
            cursor.next()
        cursor.status()

    def write_batch(self, changes: Iterable[tuple[bytes, bytes | None]], offset: int | None) -> None:
        batch = WriteBatch(raw_mode=True)
        batch.set_default_column_family(self._handle)
        put, delete = batch.put, batch.delete
        for key, value in changes:
            if value is None:
                delete(key)
            else:
                put(key, value)
        if offset is not None:
            batch.set_default_column_family(self._stores.offsets_handle)
            batch.put(self._offset_key, offset.to_bytes(8, "big"))
        self._stores.database.write(batch)
        if offset is not None:
            self._offset = offset

    def clear(self) -> None:
        # The offset goes first: a store without one is restored whole, wherever a crash interrupts this.
        self._stores.database.delete(self._offset_key)
        self._offset = None
        self._family.close()
        self._family = self._stores.recreate(self._name)
        self._handle = self._stores.database.get_column_family_handle(self._name)

    def close(self) -> None:
        self._family.close()
        del self._handle  # it would keep the database open
        self._stores.released(self._name)


class RocksStores:
    """`Stores` in one directory. Memory is bounded for all of them together, whatever the number of partitions.

    `cache_bytes` bounds the block cache and the memtables together, index and filter blocks included;
    `write_buffer_bytes` is the part of it that memtables may take.
    """

    def __init__(
        self, directory: Path, *, cache_bytes: int = 64 * 1024 * 1024, write_buffer_bytes: int = 32 * 1024 * 1024
    ) -> None:
        self._cache = Cache(cache_bytes)
        self._write_buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            write_buffer_bytes, allow_stall=False, cache=self._cache
        )
        self._write_buffer_bytes = write_buffer_bytes
        self._opened: set[str] = set()
        directory.mkdir(parents=True, exist_ok=True)
        path = str(directory)
        existing = Rdict.list_cf(path) if (directory / "CURRENT").exists() else [_OFFSETS]
        try:
            self.database = Rdict(
                path, self._options(), {name: self._options() for name in existing if name != _OFFSETS}
            )
        except Exception as error:  # rocksdict raises bare Exception
            raise StateError(
                f"the state in {path} cannot be opened ({error}); remove that directory to restore from the changelogs"
            ) from error
        self._existing = set(existing)
        self.offsets_handle = self.database.get_column_family_handle(_OFFSETS)

    def open(self, task: str, name: str) -> KeyValueStore:
        family_name = f"{task}/{name}"
        if family_name in self._opened:
            raise StateError(f"store {name!r} of task {task} is open already")
        if family_name in self._existing:
            family = self.database.get_column_family(family_name)
        else:
            family = self.database.create_column_family(family_name, self._options())
            self._existing.add(family_name)
        self._opened.add(family_name)
        return RocksStore(self, family_name, family)

    def offset(self, task: str, name: str) -> int | None:
        return self.stored_offset(f"{task}/{name}")

    def stored_offset(self, family_name: str) -> int | None:
        stored = self.database.get(family_name.encode())
        return None if stored is None else int.from_bytes(stored, "big")

    def recreate(self, family_name: str) -> Rdict:
        """Empties a column family by dropping it: at once, whatever its size."""
        self.database.drop_column_family(family_name)
        return self.database.create_column_family(family_name, self._options())

    def released(self, family_name: str) -> None:
        self._opened.discard(family_name)

    def close(self) -> None:
        """Flushes, so that the next start has no log to replay. Every store must be closed before."""
        self.database.flush(wait=True)
        del self.offsets_handle  # it would keep the database open
        self.database.close()

    def _options(self) -> Options:
        table = BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_block_size(16 * 1024)
        table.set_bloom_filter(10, block_based=False)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_write_buffer_manager(self._write_buffers)
        options.set_write_buffer_size(self._write_buffer_bytes // 2)
        # A column family that is seldom written holds the log back; past this size it is flushed for the log's sake.
        options.set_max_total_wal_size(4 * self._write_buffer_bytes)
        options.set_max_open_files(512)
        options.set_keep_log_file_num(2)
        options.set_stats_dump_period_sec(0)
        return options
