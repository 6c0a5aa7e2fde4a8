"""Stores in memory: for tests, and for apps that rather restore from the changelog than keep files."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from ottla.state.store import KeyValueStore


class MemoryStore:
    """A `KeyValueStore` over a dict; the keys are sorted when a range is asked for after new ones came."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._offset: int | None = None

    @property
    def offset(self) -> int | None:
        return self._offset

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def range(self, start: bytes | None = None, end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        if len(self._keys) != len(self._values):
            self._keys = sorted(self._values)
        keys, values = self._keys, self._values
        first = 0 if start is None else bisect_left(keys, start)
        last = len(keys) if end is None else bisect_left(keys, end)
        return iter([(key, values[key]) for key in keys[first:last]])

    def write_batch(self, changes: Iterable[tuple[bytes, bytes | None]], offset: int | None) -> None:
        values = self._values
        for key, value in changes:
            if value is not None:
                values[key] = value
            elif values.pop(key, None) is not None:
                self._keys = []
        if offset is not None:
            self._offset = offset

    def clear(self) -> None:
        self._values.clear()
        self._keys.clear()
        self._offset = None

    def close(self) -> None:
        """Nothing to free; the entries stay for the next `MemoryStores.open`."""


class MemoryStores:
    """`Stores` whose content lives as long as this object: opened again, a store holds what it held when it was
    closed.
    """

    def __init__(self) -> None:
        self._stores: dict[tuple[str, str], MemoryStore] = {}

    def open(self, task: str, name: str) -> KeyValueStore:
        return self._stores.setdefault((task, name), MemoryStore())

    def offset(self, task: str, name: str) -> int | None:
        store = self._stores.get((task, name))
        return None if store is None else store.offset

    def close(self) -> None:
        self._stores.clear()
