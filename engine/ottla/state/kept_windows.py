"""Stores of the results of windows: a value with its time for each key and window, for a while after the window's end.

The windows of a key are neighbours, in the order of their starts and then of their ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from struct import Struct
from typing import Any

from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.pairs import behind_prefix, first_of, pair_codec
from ottla.state.store import KeyValueStore, StoreSpec
from ottla.state.timed import Entry, TimedCache, timed_spec
from ottla.windows.definitions import WindowKey

_ROUNDS = 8
"""How many times in a retention the store is searched for what is over."""

_bounds = Struct(">QQ")
_start = Struct(">Q").pack


class KeptWindowCache(TimedCache):
    """A window is over when stream time is `retention_ms` past its end. `write` says of each value which time it has;
    stream time is the newest of them."""

    __slots__ = ("_encode", "_retention_ms")

    def __init__(
        self, spec: StoreSpec, store: KeyValueStore, *, capacity: int, retention_ms: int, key: Codec[Any]
    ) -> None:
        super().__init__(spec, store, capacity=capacity, pace_ms=max(retention_ms // _ROUNDS, 1))
        self._retention_ms = retention_ms
        self._encode = key.encode

    def stamped(self, key: WindowKey[Any]) -> tuple[Any, int] | None:
        """The value of a key in a window, and its time."""
        entry = None if self._is_over(key) else StoreCache.get(self, key)
        return None if entry is None else (entry[1], entry[0])

    def get(self, key: WindowKey[Any], default: Any = None) -> Any:
        found = self.stamped(key)
        return default if found is None else found[0]

    def __contains__(self, key: WindowKey[Any]) -> bool:
        return self.stamped(key) is not None

    def write(self, key: WindowKey[Any], value: Any, timestamp: int) -> None:
        """Sets the value of a key in a window; None deletes it."""
        self.advance(timestamp)
        if value is None:
            StoreCache.delete(self, key)
        else:
            StoreCache.put(self, key, (timestamp, value))

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[WindowKey[Any], Any]]:
        return ((key, entry[1]) for key, entry in self.kept(start, end, reverse=reverse) if not self._is_over(key))

    def windows_of(
        self, key: Any, from_time: int | None = None, to_time: int | None = None, *, newest_first: bool = False
    ) -> Iterator[tuple[WindowKey[Any], Any]]:
        """The windows of a key that start from the one time to the other, both inclusive, and its values in them."""
        prefix = first_of(self._encode(key))
        start = prefix if from_time is None else prefix + _start(max(from_time, 0))
        end = behind_prefix(prefix) if to_time is None else prefix + _start(max(to_time + 1, 0))
        return self.range(start, end, reverse=newest_first)

    def over(self, entries: Iterator[tuple[WindowKey[Any], Entry]]) -> Iterator[tuple[WindowKey[Any], bool]]:
        return ((key, self._is_over(key)) for key, _ in entries)

    def _is_over(self, key: WindowKey[Any]) -> bool:
        return key.end + self._retention_ms <= self.stream_time


def window_key_codec(key: Codec[Any]) -> Codec[WindowKey[Any]]:
    """The codec of a key and its window."""
    bounds: Codec[tuple[int, int]] = Codec("bounds", lambda both: _bounds.pack(*both), _both)
    pairs = pair_codec(key, bounds)
    encode, decode = pairs.encode, pairs.decode

    def decode_window(data: bytes) -> WindowKey[Any]:
        inner, (start, end) = decode(data)
        return WindowKey(inner, start, end)

    return Codec(f"window[{key.name}]", lambda each: encode((each.key, (each.start, each.end))), decode_window)


def kept_windows_spec(name: str, changelog: str, key: Codec[Any], value: Codec[Any], retention_ms: int) -> StoreSpec:
    """The store of a window table: the time, 8 bytes, before each value."""
    encode, decode, keys = value.encode, value.decode, window_key_codec(key)
    return timed_spec(
        name,
        changelog,
        partial(KeptWindowCache, retention_ms=retention_ms, key=key),
        keys.encode,
        keys.decode,
        lambda entry: entry[0].to_bytes(8, "big", signed=True) + encode(entry[1]),
        lambda data: (int.from_bytes(data[:8], "big", signed=True), decode(data[8:])),
    )


def _both(data: bytes) -> tuple[int, int]:
    start, end = _bounds.unpack(data)
    return start, end
