"""Events that wait until stream time has passed their own by a grace: then they are taken in the order of their times.

As the buffer of Kafka Streams' stream-table joins with grace (KIP-923, `RocksDBTimeOrderedKeyValueBuffer`): stream time
is the newest time of what was put in, what is older than the grace when it comes does not wait, and of equal times the
smaller encoded key comes first, and of equal keys what came first. What waits is state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import msgspec

from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.format import format_of
from ottla.state.store import StoreSpec
from ottla.task.agenda import Agenda
from ottla.task.batch import Batch, Rows
from ottla.task.origins import KeptMessage, StoredOrigin, stored_origin
from ottla.task.slots import STREAM_TIME, slot_spec
from ottla.transport.contract import Message

_Waiting = tuple[Any, Message | None]
"""The value and the origin of an event."""

_AHEAD = 8
_MOST_AHEAD_MS = 60_000


def waiting_spec(app_id: str, name: str, key: Codec[Any], value: Codec[Any]) -> StoreSpec:
    """The store of what waits: under the time and the key, numbered."""
    pack = msgspec.msgpack.Encoder().encode
    unpack = msgspec.msgpack.Decoder(int | tuple[bytes, StoredOrigin | None]).decode

    def encode_key(numbered: tuple[Any, int]) -> bytes:
        return key.encode(numbered[0]) + numbered[1].to_bytes(8, "big")

    def decode_key(data: bytes) -> tuple[Any, int]:
        return key.decode(data[:-8]), int.from_bytes(data[-8:], "big")

    def encode(waiting: int | _Waiting) -> bytes:
        if isinstance(waiting, int):
            return pack(waiting)
        what, origin = waiting
        return pack((value.encode(what), None if origin is None else stored_origin(origin)))

    def decode(data: bytes) -> int | _Waiting:
        stored = unpack(data)
        if isinstance(stored, int):
            return stored
        what, origin = stored
        return value.decode(what), None if origin is None else KeptMessage(origin)

    spec = slot_spec(app_id, name, Codec("numbered", encode_key, decode_key), encode, decode)
    return replace(spec, format=format_of("waiting for a table", key, value))


class WaitingEvents:
    """The events of one task that wait. Keys and values are not null."""

    def __init__(self, store: StoreCache, grace_ms: int) -> None:
        self._store = store
        self._grace_ms = grace_ms
        self._agenda = Agenda(store, min(grace_ms // _AHEAD, _MOST_AHEAD_MS))
        self._stream_time: int = store.get(STREAM_TIME, -1)
        # Told apart by number, events of one key and time keep their order; a number is never given twice.
        self._next: int = store.get(_NEXT, 0)

    def put(self, batch: Batch, row: int) -> bool:
        """Takes an event in. Returns False if it is older than the grace: it must not wait any longer."""
        time = batch.timestamps[row]
        if time < self._stream_time - self._grace_ms:
            return False
        if time > self._stream_time:
            self._stream_time = time
            self._store.put(STREAM_TIME, time)
        self._agenda.put(time, (batch.keys[row], self._next), (batch.values[row], batch.origins[row]))
        self._next += 1
        self._store.put(_NEXT, self._next)
        return True

    def due(self) -> Iterator[tuple[Any, Any, int, Message | None]]:
        """Takes out what has waited long enough: key, value, timestamp and origin."""
        end = self._stream_time - self._grace_ms + 1
        return self._take(end) if self._agenda.due(end) else iter(())

    def rest(self) -> Batch:
        """Takes out all that waits."""
        rows = Rows()
        for event in self._take(self._stream_time + 1):
            rows.add(*event)
        return rows.batch()

    def _take(self, end: int) -> Iterator[tuple[Any, Any, int, Message | None]]:
        for time, (key, _), (value, origin) in self._agenda.take(end):
            yield key, value, time, origin


_NEXT = (-1, None)
"""Where the store has the number of the next event."""
