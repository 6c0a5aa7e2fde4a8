"""Stores whose entries end by event time: the stream time of a store, and the deletion of what is over by it.

Stream time is the newest time of the events that used the store, and part of its state, so that a restart changes
nothing. What is over is neither read nor iterated from that moment on. It is deleted later and bit by bit: each commit
goes on through the store where the last one stopped and looks at a bounded number of entries, so that none takes long.
A new round begins when stream time has gone on by the store's pace.

    k KEY  -> an entry        t  -> stream time
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

from ottla.state.cache import StoreCache
from ottla.state.changes import Changes
from ottla.state.store import KeyValueStore, StoreSpec

_STREAM_TIME: Final = object()
_ENTRIES, _BEHIND_ENTRIES, _TIME = b"k", b"l", b"t"
_LOOKED_AT = 2_000
"""How many entries a commit looks at."""

Entry = tuple[Any, ...]
"""What is kept under a key. The stream time is an int, so that the two can be told apart."""


class TimedCache(StoreCache):
    """A `StoreCache` that has a stream time. `use_clock` says what gives the time of the event at hand."""

    __slots__ = ("_clock", "_moved", "_pace_ms", "_position", "_round_at", "stream_time")

    def __init__(self, spec: StoreSpec, store: KeyValueStore, *, capacity: int, pace_ms: int) -> None:
        super().__init__(spec, store, capacity=capacity)
        self._clock: Callable[[], int | None] = lambda: None
        self._pace_ms = pace_ms
        self.stream_time = self._stored_time()
        self._moved = False
        # Where the round under way goes on, and the stream time from which on the next one may begin.
        self._position: bytes | None = None
        self._round_at = -1

    def use_clock(self, clock: Callable[[], int | None]) -> None:
        self._clock = clock

    def time(self) -> int:
        """The time of the event at hand; stream time where none is."""
        time = self._clock()
        return max(self.stream_time, 0) if time is None else time

    def advance(self, time: int) -> None:
        """Stream time is at least this."""
        if time > self.stream_time:
            self.stream_time = time
            self._moved = True

    def changes(self, most: int = sys.maxsize) -> Changes:
        if self._moved:
            self._moved = False
            StoreCache.put(self, _STREAM_TIME, self.stream_time)
        self._tidy()
        return super().changes(most)

    def discard(self) -> None:
        super().discard()
        self.stream_time, self._moved = self._stored_time(), False
        self._position, self._round_at = None, -1

    def kept(
        self, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[Any, Entry]]:
        """What is kept under start <= encoded key < end, over or not. The keys are encoded without their prefix."""
        first = _ENTRIES if start is None else _ENTRIES + start
        last = _BEHIND_ENTRIES if end is None else _ENTRIES + end
        return StoreCache.range(self, first, last, reverse=reverse)

    def over(self, entries: Iterator[tuple[Any, Entry]]) -> Iterator[tuple[Any, bool]]:
        """For each of the entries, in order, its key and whether it is to be deleted."""
        raise NotImplementedError

    def _tidy(self) -> None:
        if self._position is None:
            if self.stream_time < self._round_at:
                return
            self._position = b""
        for looked_at, (key, delete) in enumerate(self.over(self.kept(self._position))):
            if looked_at == _LOOKED_AT:
                self._position = self.spec.encode_key(key)[1:]
                return
            if delete:
                StoreCache.delete(self, key)
        self._position = None
        self._round_at = self.stream_time + self._pace_ms

    def _stored_time(self) -> int:
        data = self.store.get(_TIME)
        return -1 if data is None else int.from_bytes(data, "big", signed=True)


def timed_spec(
    name: str,
    changelog: str,
    cache: Callable[..., TimedCache],
    encode_key: Callable[[Any], bytes],
    decode_key: Callable[[bytes], Any],
    encode_entry: Callable[[Any], bytes],
    decode_entry: Callable[[bytes], Any],
) -> StoreSpec:
    """The store behind a `TimedCache`, whose entries are tuples."""
    return StoreSpec(
        name=name,
        changelog=changelog,
        encode_key=lambda key: _TIME if key is _STREAM_TIME else _ENTRIES + encode_key(key),
        decode_key=lambda data: decode_key(data[1:]),
        encode_value=lambda entry: (
            entry.to_bytes(8, "big", signed=True) if isinstance(entry, int) else encode_entry(entry)
        ),
        decode_value=decode_entry,
        cache=cache,
    )
