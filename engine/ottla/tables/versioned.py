"""Versioned tables: what a key's value was at a time, and when it changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, overload

from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.store import Part
from ottla.state.versioned import LAST_TIME, Version, VersionedCache, versioned_spec
from ottla.tables.table import Table, changelog_topic
from ottla.task.processor import TaskContext
from ottla.topic import Topic

K = TypeVar("K")
V = TypeVar("V")
D = TypeVar("D")


class VersionedTable(Table[K, V]):
    """A table that knows what its values were (KIP-889, KIP-914). Made by `App.Table(..., versioned=retention)`.

    A value is valid from the time of the event that wrote it, or of its record where the table is read from a topic.
    One that comes late takes its place among those before and after it, unless it is later than the retention: then it
    is dropped and counted. As a mapping the table has the newest values. A stream that is joined with it meets the
    value that was valid at the event's time.
    """

    tells_writes = False

    def __init__(
        self,
        app_id: str,
        name: str,
        key_codec: Codec[K],
        value_codec: Codec[V],
        *,
        retention_ms: int,
        default: Callable[[], V] | None = None,
        source: Topic[K, V] | None = None,
        partitions: int | None = None,
    ) -> None:
        self.retention_ms = retention_ms
        spec = versioned_spec(name, changelog_topic(app_id, name), key_codec, value_codec, retention_ms)
        super().__init__(
            app_id, name, key_codec, value_codec, default=default, source=source, partitions=partitions, spec=spec
        )

    @overload
    def get(self, key: K, *, as_of: int | None = None) -> V | None: ...
    @overload
    def get(self, key: K, default: D, *, as_of: int | None = None) -> V | D: ...
    def get(self, key: K, default: Any = None, *, as_of: int | None = None) -> Any:
        """The newest value, or the one that was valid at `as_of`, in milliseconds since the epoch; else `default`.

        What was superseded longer ago than the retention is not known any more: then it is `default`, too.
        """
        part = self._part()
        if as_of is None:
            return part.get(key, default)
        found = part.find(key, as_of)
        return default if found is None else found[1]

    def version(self, key: K, *, as_of: int | None = None) -> Version[V] | None:
        """The newest value, or the one that was valid at `as_of`, with the times between which it is valid."""
        part = self._part()
        found = part.find(key, LAST_TIME if as_of is None else as_of)
        if found is None:
            return None
        return next(version for version in part.versions(key) if version.timestamp == found[0])

    def history(
        self, key: K, from_time: int | None = None, to_time: int | None = None, *, newest_first: bool = False
    ) -> list[Version[V]]:
        """The values that were valid at any moment between two times, both inclusive, in milliseconds (KIP-968).

        The oldest comes first, unless `newest_first`. None leaves a side open. Times at which the key was deleted are
        gaps between `valid_to` and the next `timestamp`.
        """
        found = self.history_in(self._part(), key, from_time, to_time)
        return found if newest_first else found[::-1]

    def put(self, key: K, value: V | None, *, timestamp: int | None = None) -> bool:
        """Makes a value valid from `timestamp` on, or from the time of the event at hand; None deletes from then on.

        Returns whether it was written: what is later than the retention is dropped and counted.
        """
        context = self._context()
        store = self.part_in(context)
        self.check_writable()
        return self._write_version(context, store, key, value, store.time() if timestamp is None else timestamp)

    def delete(self, key: K, *, timestamp: int | None = None) -> bool:
        """Deletes the key from `timestamp` on, or from the time of the event at hand. Returns what `put` does."""
        return self.put(key, None, timestamp=timestamp)

    def lookup_at(self, part: Part, key: K, as_of: int) -> V | None:
        """The value in one part that was valid at a time, in milliseconds since the epoch."""
        assert isinstance(part, VersionedCache), "the spec of a versioned table makes such a cache"
        found = part.find(key, as_of)
        return None if found is None else found[1]

    def history_in(self, part: Part, key: K, from_time: int | None, to_time: int | None) -> list[Version[V]]:
        """The versions in one part that were valid at any moment between two times, the newest first."""
        assert isinstance(part, VersionedCache), "the spec of a versioned table makes such a cache"
        return [
            version
            for version in part.versions(key)
            if (to_time is None or version.timestamp <= to_time)
            and (from_time is None or version.valid_to is None or version.valid_to > from_time)
        ]

    def part_in(self, context: TaskContext) -> VersionedCache:
        store = self._store(context)
        assert isinstance(store, VersionedCache), "the spec of a versioned table makes such a cache"
        return store

    def _part(self) -> VersionedCache:
        return self.part_in(self._context())

    def _write(self, context: TaskContext, store: StoreCache, key: Any, value: Any) -> None:
        assert isinstance(store, VersionedCache)
        self._write_version(context, store, key, value, store.time())

    def _write_version(self, context: TaskContext, part: VersionedCache, key: Any, value: Any, time: int) -> bool:
        self.check_value(value)
        cursor = context.cursor
        if cursor is not None:
            version = (key, time)
            context.journal.append((cursor.row, part, version, part.stored(version)))
        written = part.write(key, value, time)
        context.counts.late_dropped += not written
        return written
