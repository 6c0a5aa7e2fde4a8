"""Changes of a table that are held back, so that of many only the last is told (`Suppressed.untilTimeLimit`, KIP-328).

A key's first change begins a wait of so much stream time; what changes meanwhile takes its place and waits no longer.
Stream time is the newest time of the changes themselves. What waits is state: under the time at which its wait began
and its key, with a mark under the key alone that says where. As in Kafka Streams (`KTableSuppressProcessor`,
`InMemoryTimeOrderedKeyValueChangeBuffer`), of equal times the smaller encoded key goes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import msgspec

from ottla.errors import ConfigError, ProcessingFailed
from ottla.relations.change import Change, ChangeStep
from ottla.relations.views import Reader, Stamped, stamped
from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.format import format_of
from ottla.state.store import StoreSpec
from ottla.task.agenda import Agenda
from ottla.task.batch import Batch, Rows
from ottla.task.origins import KeptMessage, StoredOrigin, stored_origin
from ottla.task.processor import TaskContext
from ottla.task.slots import NEVER, STREAM_TIME, Slot, prefix, slot_spec
from ottla.transport.contract import Message

WhenFull = Literal["emit", "fail"]

_MARK = -3
"""The time of the slot that says of a key since when it waits."""

_AHEAD = 8
_MOST_AHEAD_MS = 60_000
_UNKNOWN = -1
"""The time of a value of which only the value is known."""


@dataclass(frozen=True, slots=True)
class Held:
    """A key that waits: what was told of it last, its newest value with its time, and what that came from."""

    told: Any
    value: Any
    timestamp: int
    origin: Message | None


@dataclass(frozen=True, slots=True)
class Suppression:
    """How long changes wait, how many keys and how many bytes at most, and what happens when there are more: the oldest
    are told early, or the app fails.

    Bytes are those of keys and values as they are kept.
    """

    within_ms: int
    max_records: int | None
    max_bytes: int | None
    when_full: WhenFull

    def __post_init__(self) -> None:
        for option in ("max_records", "max_bytes"):
            limit = getattr(self, option)
            if limit is not None and limit < 0:
                raise ConfigError(f"suppress: {option}={limit} must be 0 or more")
        if self.when_full not in get_args(WhenFull):
            raise ConfigError(f'suppress: when_full={self.when_full!r} is unknown; it is "emit" or "fail"')
        if self.when_full == "fail" and self.max_records is None and self.max_bytes is None:
            raise ConfigError('suppress: when_full="fail" needs max_records= or max_bytes=, or it is never full')


def suppress_spec(app_id: str, name: str, key: Codec[Any], value: Codec[Any]) -> StoreSpec:
    """The store of what is held back, by time and key."""
    pack = msgspec.msgpack.Encoder().encode
    unpack = msgspec.msgpack.Decoder(int | tuple[bytes | None, bytes | None, int, StoredOrigin | None]).decode

    def encode(held: int | Held) -> bytes:
        if isinstance(held, int):
            return pack(held)
        told, newest = (None if each is None else value.encode(each) for each in (held.told, held.value))
        return pack((told, newest, held.timestamp, None if held.origin is None else stored_origin(held.origin)))

    def decode(data: bytes) -> int | Held:
        stored = unpack(data)
        if isinstance(stored, int):
            return stored
        told, newest, timestamp, origin = stored
        return Held(
            None if told is None else value.decode(told),
            None if newest is None else value.decode(newest),
            timestamp,
            None if origin is None else KeptMessage(origin),
        )

    spec = slot_spec(app_id, name, key, encode, decode)
    return replace(spec, format=format_of("suppress", key, value))


class Suppress(ChangeStep):
    """Holds changes back, and hands on the last of each key when its wait is over."""

    def __init__(self, context: TaskContext, name: str, suppression: Suppression) -> None:
        super().__init__()
        self._name = name
        self._suppression = suppression
        self._store = context.stores[name]
        self._agenda = Agenda(self._store, min(suppression.within_ms // _AHEAD, _MOST_AHEAD_MS))
        self._stream_time: int = self._store.get(STREAM_TIME, -1)
        self._count = self._bytes = 0
        self._bounded = suppression.max_records is not None or suppression.max_bytes is not None
        if self._bounded:
            for slot, held in self._store.range(prefix(0), NEVER):
                self._count += 1
                self._bytes += self._size(slot, held)

    async def receive(self, batch: Batch) -> None:
        out = Rows()
        columns = zip(batch.keys, batch.values, batch.timestamps, batch.origins, strict=True)
        for key, change, timestamp, origin in columns:
            self._stream_time = max(self._stream_time, timestamp)
            self._hold(key, change, timestamp, origin)
            until = self._stream_time - self._suppression.within_ms + 1
            if self._agenda.due(until):
                for _ in self._take(until, out):
                    continue
            if self._bounded and self._is_full():
                self._make_room(out)
        self._store.put(STREAM_TIME, self._stream_time)
        await self.forward(out.batch())

    async def end_of_input(self) -> None:
        out = Rows()
        for _ in self._take(self._stream_time + 1, out):
            continue
        await self.forward(out.batch())

    def _hold(self, key: Any, change: Change[Any], timestamp: int, origin: Message | None) -> None:
        store = self._store
        since = store.get((_MARK, key))
        if since is None:
            held = Held(change.old, change.new, timestamp, origin)
            self._agenda.put(timestamp, key, held)
            store.put((_MARK, key), timestamp)
            self._count += 1
            slot = (timestamp, key)
        else:
            slot = (since, key)
            before = store.get(slot)
            held = Held(before.told, change.new, timestamp, origin)
            self._bytes -= self._size(slot, before)
            store.put(slot, held)
        self._bytes += self._size(slot, held)

    def _take(self, until: int, out: Rows) -> Iterator[None]:
        """Takes out what began to wait before that time, one after another."""
        for time, key, held in self._agenda.take(until):
            self._store.delete((_MARK, key))
            self._count -= 1
            self._bytes -= self._size((time, key), held)
            out.add(key, Change(held.told, held.value), held.timestamp, held.origin)
            yield

    def _make_room(self, out: Rows) -> None:
        limits = self._suppression
        if limits.when_full == "fail":
            raise ProcessingFailed(
                f"{self._name} holds {self._count} changes back, of {self._bytes} bytes, and may hold "
                f"{_limit(limits.max_records)} of {_limit(limits.max_bytes)} bytes: raise max_records= or max_bytes=, "
                'or let it tell the oldest early with when_full="emit"'
            )
        for _ in self._take(self._stream_time + 1, out):
            if not self._is_full():
                return

    def _is_full(self) -> bool:
        records, size = self._suppression.max_records, self._suppression.max_bytes
        return (records is not None and self._count > records) or (size is not None and self._bytes > size)

    def _size(self, slot: Slot, held: Held) -> int:
        """How much of `max_bytes` an entry takes; 0 where that is not asked for."""
        if self._suppression.max_bytes is None:
            return 0
        spec = self._store.spec
        return len(spec.encode_key(slot)) + len(spec.encode_value(held))


def suppressed_reader(read: Reader, store: StoreCache) -> Reader:
    """Reads what was told last: of a key that waits what it was before, of any other what the table has."""

    def read_told(key: Any) -> Stamped | None:
        since = store.get((_MARK, key))
        return read(key) if since is None else stamped(store.get((since, key)).told, _UNKNOWN)

    return read_told


def _limit(most: int | None) -> str:
    return "any number" if most is None else str(most)
