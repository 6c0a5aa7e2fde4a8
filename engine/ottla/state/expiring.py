"""Stores whose entries have a time to live: an entry is over when stream time is so much past its last write."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.store import KeyValueStore, StoreSpec
from ottla.state.timed import Entry, TimedCache, timed_spec

_ROUNDS = 8
"""How many times in a time to live the store is searched for what is over."""


class ExpiringCache(TimedCache):
    """Entries live for `ttl_ms` of stream time after the event that wrote them.

    A late event does not shorten the life of an entry: of its own time and the entry's the newer counts.
    """

    __slots__ = ("_ttl_ms",)

    def __init__(self, spec: StoreSpec, store: KeyValueStore, *, capacity: int, ttl_ms: int) -> None:
        super().__init__(spec, store, capacity=capacity, pace_ms=max(ttl_ms // _ROUNDS, 1))
        self._ttl_ms = ttl_ms

    def get(self, key: Any, default: Any = None) -> Any:
        self.advance(self.time())
        entry = StoreCache.get(self, key)
        return default if entry is None or entry[0] <= self.stream_time - self._ttl_ms else entry[1]

    def __contains__(self, key: Any) -> bool:
        return self.get(key) is not None

    def put(self, key: Any, value: Any) -> None:
        time = self.time()
        self.advance(time)
        entry = StoreCache.get(self, key)
        StoreCache.put(self, key, (time if entry is None else max(time, entry[0]), value))

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        self.advance(self.time())
        for key, (time, value) in self.kept(start, end, reverse=reverse):
            if time > self.stream_time - self._ttl_ms:
                yield key, value

    def over(self, entries: Iterator[tuple[Any, Entry]]) -> Iterator[tuple[Any, bool]]:
        horizon = self.stream_time - self._ttl_ms
        return ((key, entry[0] <= horizon) for key, entry in entries)


def expiring_spec(name: str, changelog: str, key: Codec[Any], value: Codec[Any], ttl_ms: int) -> StoreSpec:
    """The store of a table with a time to live: the time of the last write, 8 bytes, before each value."""
    encode, decode = value.encode, value.decode
    return timed_spec(
        name,
        changelog,
        partial(ExpiringCache, ttl_ms=ttl_ms),
        key.encode,
        key.decode,
        lambda entry: entry[0].to_bytes(8, "big", signed=True) + encode(entry[1]),
        lambda data: (int.from_bytes(data[:8], "big", signed=True), decode(data[8:])),
    )
