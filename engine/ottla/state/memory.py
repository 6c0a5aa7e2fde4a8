"""Stores in memory: for tests, and for apps that rather restore from the changelog than keep files."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from ottla.state.changes import Change, KeyRange
from ottla.state.store import KeyValueStore


class MemoryStore:
    """A `KeyValueStore` over a dict, and the keys in order, which new ones join when a range is asked for."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._values: dict[bytes, bytes] = {}
        # Every key is in one of the two lists; those that were deleted stay there until they are many.
        self._keys: list[bytes] = []
        self._added: list[bytes] = []
        self._deleted: set[bytes] = set()
        self._ranges = 0
        self._offset: int | None = None
        self._written_s: float | None = None

    @property
    def offset(self) -> int | None:
        return self._offset

    @property
    def age_ms(self) -> int | None:
        return None if self._written_s is None else int(1000 * (self._clock() - self._written_s))

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        keys, values = self._in_order(), self._values
        first = 0 if start is None else bisect_left(keys, start)
        last = len(keys) if end is None else bisect_left(keys, end)
        self._ranges += 1
        try:
            for place in reversed(range(first, last)) if reverse else range(first, last):
                key = keys[place]
                value = values.get(key)
                if value is not None:
                    yield key, value
        finally:
            self._ranges -= 1

    def write_batch(self, changes: Sequence[Change], offset: int | None, dropped: Sequence[KeyRange] = ()) -> None:
        if self._ranges:
            self._values = dict(self._values)  # A range under way goes on in what was there when it began.
        for start, end in dropped:
            self._keys = [key for key in self._in_order() if not start <= key < end]
            self._values = {key: value for key, value in self._values.items() if not start <= key < end}
            self._deleted = {key for key in self._deleted if not start <= key < end}
        values, deleted = self._values, self._deleted
        for key, value in changes:
            if value is None:
                if values.pop(key, None) is not None:
                    deleted.add(key)
                continue
            if key not in values:
                if key in deleted:
                    deleted.discard(key)
                else:
                    self._added.append(key)
            values[key] = value
        if offset is not None:
            self._offset = offset
        self._written_s = self._clock()

    def restore(self, changes: Sequence[Change], offset: int | None, dropped: Sequence[KeyRange] = ()) -> None:
        written_s = self._written_s
        self.write_batch(changes, offset, dropped)
        if written_s is not None:
            self._written_s = written_s

    def clear(self) -> None:
        self._values = {}
        self._keys, self._added = [], []
        self._deleted.clear()
        self._offset = self._written_s = None

    def close(self) -> None:
        """Nothing to free; the entries stay for the next `MemoryStores.open`."""

    def _in_order(self) -> list[bytes]:
        """The keys in order. A list is never changed once it was given, since a range may still go through it."""
        if self._added:
            # Two sorted runs, which `sort` merges.
            self._keys = [*self._keys, *sorted(self._added)]
            self._keys.sort()
            self._added = []
        if 2 * len(self._deleted) > len(self._keys):
            self._keys = [key for key in self._keys if key not in self._deleted]
            self._deleted.clear()
        return self._keys


class MemoryStores:
    """`Stores` whose content lives as long as this object: opened again, a store holds what it held when it was
    closed. `clock` gives seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._stores: dict[tuple[str, str], MemoryStore] = {}

    def open(self, task: str, name: str, *, restorable: bool = True) -> KeyValueStore:  # noqa: ARG002 - as in Stores
        return self._stores.setdefault((task, name), MemoryStore(self._clock))

    def offset(self, task: str, name: str) -> int | None:
        store = self._stores.get((task, name))
        return None if store is None else store.offset

    def close(self) -> None:
        self._stores.clear()
