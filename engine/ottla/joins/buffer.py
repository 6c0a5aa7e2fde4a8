"""The events of one side of a stream-stream join, kept as long as events of the other side may find them.

State is lists of events under a stretch of time, a number and a key. A key has lists 0, 1, ... in a stretch, of a
bounded length each, so that a busy key does not write all its events anew for each that comes; a look-up reads those of
the two or three stretches that the window touches. Stretches that are over are dropped whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from heapq import heapify, heappop, heappush
from operator import itemgetter
from typing import Any

import msgspec

from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.format import format_of
from ottla.state.store import StoreSpec
from ottla.task.slots import NEVER, STREAM_TIME, prefix, slot_spec

Entry = tuple[int, Any]
"""The time and value of an event."""

_LIST_LENGTH = 32
_STRETCHES = 32

_time = itemgetter(0)


def buffer_spec(app_id: str, name: str, key: Codec[Any], value: Codec[Any], definition: str) -> StoreSpec:
    """The store of one side. How long its stretches of time are goes by the window, which `definition` says."""
    pack = msgspec.msgpack.Encoder().encode
    unpack = msgspec.msgpack.Decoder(int | list[tuple[int, bytes]]).decode

    def encode_key(numbered: tuple[int, Any]) -> bytes:
        number, inner = numbered
        return number.to_bytes(4, "big") + key.encode(inner)

    def decode_key(data: bytes) -> tuple[int, Any]:
        return int.from_bytes(data[:4], "big"), key.decode(data[4:])

    def encode(entries: int | list[Entry]) -> bytes:
        return pack(entries if isinstance(entries, int) else [(time, value.encode(each)) for time, each in entries])

    def decode(data: bytes) -> int | list[Entry]:
        stored = unpack(data)
        return stored if isinstance(stored, int) else [(time, value.decode(each)) for time, each in stored]

    spec = slot_spec(app_id, name, Codec("numbered", encode_key, decode_key), encode, decode)
    return replace(spec, format=format_of("join buffer", key, value, definition))


class JoinBuffer:
    """Events by key and time, for `retention_ms` of the stream time of this side.

    It has a stream time of its own, the newest time of what was put into it, as a window store of Kafka Streams has.
    """

    def __init__(self, store: StoreCache, span_ms: int, retention_ms: int) -> None:
        self._store = store
        self._retention_ms = retention_ms
        self._stretch_ms = max(span_ms, retention_ms // _STRETCHES, 1)
        self._stream_time: int = store.get(STREAM_TIME, -1)
        self._stretches = self._stored_stretches()
        self._known = set(self._stretches)
        # How many full lists a key has in a stretch, for those that are known to have some.
        self._full: dict[tuple[int, Any], int] = {}

    def put(self, key: Any, value: Any, timestamp: int) -> None:
        """Keeps an event, unless it is too old to be found."""
        if timestamp > self._stream_time:
            self._stream_time = timestamp
            self._store.put(STREAM_TIME, timestamp)
            self._drop_old()
        if timestamp < self._stream_time - self._retention_ms:
            return
        stretch = timestamp // self._stretch_ms
        number = self._full.get((stretch, key), 0)
        while True:
            slot = (stretch, (number, key))
            entries = self._store.get(slot) or []
            if len(entries) < _LIST_LENGTH:
                break
            number += 1
            self._full[stretch, key] = number
        self._store.put(slot, [*entries, (timestamp, value)])
        if stretch not in self._known:
            self._known.add(stretch)
            heappush(self._stretches, stretch)

    def find(self, key: Any, earliest: int, latest: int) -> list[Entry]:
        """The events of a key between two times, both inclusive, in the order of their times and then as they came."""
        earliest = max(earliest, self._stream_time - self._retention_ms, 0)
        found = [
            entry
            for stretch in range(earliest // self._stretch_ms, latest // self._stretch_ms + 1)
            if stretch in self._known
            for entry in self._entries(stretch, key)
            if earliest <= entry[0] <= latest
        ]
        if len(found) > 1:
            found.sort(key=_time)
        return found

    def _entries(self, stretch: int, key: Any) -> Iterator[Entry]:
        number = 0
        while True:
            entries: list[Entry] = self._store.get((stretch, (number, key))) or []
            yield from entries
            if len(entries) < _LIST_LENGTH:
                return
            number += 1

    def _drop_old(self) -> None:
        while self._stretches and (self._stretches[0] + 1) * self._stretch_ms <= self._stream_time - self._retention_ms:
            stretch = heappop(self._stretches)
            self._known.discard(stretch)
            for slot, _ in list(self._store.range(prefix(stretch), prefix(stretch + 1))):
                self._store.delete(slot)
                self._full.pop((stretch, slot[1][1]), None)

    def _stored_stretches(self) -> list[int]:
        """The stretches of a restored store as a heap: one seek for each, whatever keys they have."""
        stretches: list[int] = []
        position = prefix(0)
        while (entry := next(self._store.range(position, NEVER), None)) is not None:
            stretches.append(entry[0][0])
            position = prefix(entry[0][0] + 1)
        heapify(stretches)
        return stretches
