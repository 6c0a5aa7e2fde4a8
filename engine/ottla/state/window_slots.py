"""Stores of tables with windows: an entry per window and key, the oldest windows first.

What is in one window are neighbours in the order of their keys, so that a window is gone through without looking at any
other, and what is over is at the front.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import takewhile
from struct import Struct
from typing import Any, NamedTuple

from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.store import KeyValueStore, StoreSpec
from ottla.state.timed import Entry, TimedCache, timed_spec


class Slot(NamedTuple):
    """A key in a window, which begins at `start`, in milliseconds."""

    key: Any
    start: int


_start = Struct(">Q").pack


class WindowCache(TimedCache):
    """A window is over when stream time is `expires_ms` past its end; without that none ever is."""

    __slots__ = ("_lifetime_ms",)

    def __init__(
        self, spec: StoreSpec, store: KeyValueStore, *, capacity: int, size_ms: int, expires_ms: int | None
    ) -> None:
        super().__init__(spec, store, capacity=capacity, pace_ms=size_ms)
        self._lifetime_ms = None if expires_ms is None else size_ms + expires_ms

    def get(self, key: Slot, default: Any = None) -> Any:
        entry = StoreCache.get(self, key)
        return default if entry is None or self._is_over(key[1]) else entry[0]

    def __contains__(self, key: Slot) -> bool:
        return self.get(key) is not None

    def put(self, key: Slot, value: Any) -> None:
        StoreCache.put(self, key, (value,))

    def range(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[Slot, Any]]:
        return (
            (slot, entry[0]) for slot, entry in self.kept(start, end, reverse=reverse) if not self._is_over(slot[1])
        )

    def window(self, start: int) -> Iterator[tuple[Any, Any]]:
        """The keys and values of one window, in the order of the encoded keys."""
        return ((key, value) for (key, _), value in self.range(_start(start), _start(start + 1)))

    def windows_of(self, key: Any) -> dict[int, Any]:
        """The value of a key in each window in which it has one, by the starts of the windows, in order."""
        found = {start: self.get(Slot(key, start)) for start in self._starts()}
        return {start: value for start, value in found.items() if value is not None}

    def _starts(self) -> Iterator[int]:
        """The starts of the windows there are: one seek for each, whatever keys they have."""
        position = b""
        while (entry := next(self.range(position), None)) is not None:
            yield entry[0].start
            position = _start(entry[0].start + 1)

    def over(self, entries: Iterator[tuple[Slot, Entry]]) -> Iterator[tuple[Slot, bool]]:
        return ((slot, True) for slot, _ in takewhile(lambda entry: self._is_over(entry[0][1]), entries))

    def _is_over(self, start: int) -> bool:
        return self._lifetime_ms is not None and start + self._lifetime_ms <= self.stream_time


def window_spec(
    name: str, changelog: str, key: Codec[Any], value: Codec[Any], size_ms: int, expires_ms: int | None
) -> StoreSpec:
    """The store of a table with windows."""
    encode_key, decode_key, encode, decode = key.encode, key.decode, value.encode, value.decode

    def encode_slot(slot: Slot) -> bytes:
        if not isinstance(slot, Slot):
            raise TypeError(f"table {name!r} has windows: use what tumbling() or hopping() returned")
        return _start(slot.start) + encode_key(slot.key)

    return timed_spec(
        name,
        changelog,
        partial(WindowCache, size_ms=size_ms, expires_ms=expires_ms),
        encode_slot,
        lambda data: Slot(decode_key(data[8:]), int.from_bytes(data[:8], "big")),
        lambda entry: encode(entry[0]),
        lambda data: (decode(data),),
    )
