"""Taking events by the list: up to so many at once, or as many as came within a time.

The events of a list that is not full yet are state: they are in a store, and their offsets may be committed. A worker
that takes over finds them there, so no event is lost or taken twice however long a list waits.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ottla.errors import TopologyError
from ottla.event import Taken
from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.format import format_of
from ottla.state.store import StoreSpec
from ottla.task.batch import Batch, Rows
from ottla.task.origins import KeptMessage, StoredOrigin, joined_origin, stored_origin
from ottla.task.processor import Processor, TaskContext
from ottla.time import Duration, duration_ms
from ottla.transport.contract import Message

_Held = tuple[Any, Any, int, Message | None]
"""Key, value, timestamp and origin of an event that waits."""

_Stored = tuple[bytes | None, bytes | None, int, StoredOrigin | None]


def take_spec(app_id: str, name: str, key: Codec[Any], value: Codec[Any]) -> StoreSpec:
    """The store of events that wait: numbered in the order in which they came."""
    packed = msgspec.msgpack.Encoder()
    unpacked = msgspec.msgpack.Decoder(_Stored)

    def encode(held: _Held) -> bytes:
        of, what, timestamp, origin = held
        return packed.encode(
            (
                None if of is None else key.encode(of),
                None if what is None else value.encode(what),
                timestamp,
                None if origin is None else stored_origin(origin),
            )
        )

    def decode(data: bytes) -> _Held:
        of, what, timestamp, origin = unpacked.decode(data)
        return (
            None if of is None else key.decode(of),
            None if what is None else value.decode(what),
            timestamp,
            None if origin is None else KeptMessage(origin),
        )

    waiting = format_of("take", key, value)
    changelog = f"{app_id}-{name}-changelog"
    return StoreSpec(name, changelog, _encode_number, _decode_number, encode, decode, format=waiting)


def checked_take(most: int, within: Duration) -> tuple[int, int]:
    """The size of a list and the time it may take to fill in milliseconds. Raises `TopologyError`, `ConfigError`."""
    if most < 1:
        raise TopologyError(f"take({most}) gives no event: a list has at least one")
    return most, duration_ms(within, "take(within=)")


class Waiting:
    """The events of a stream that wait for their list to be full, or for its time to be over."""

    def __init__(self, context: TaskContext, store: StoreCache, most: int, within_ms: int) -> None:
        self.most = most
        self.within_ms = within_ms
        self._context = context
        self._store = store
        self._held: list[_Held] = []
        self._first = self._next = 0
        for number, held in store.range():
            self._first = self._first if self._held else number
            self._held.append(held)
            self._next = number + 1
        # How long events waited before a restart is not known: their time begins again, when the clock is first told.
        self._since: int | None = None

    def take(self, batch: Batch) -> Batch:
        """Takes events, and gives the lists that are full: each an event of its own, in the place of its last."""
        lists = []
        held, put = self._held, self._store.put
        for each in zip(batch.keys, batch.values, batch.timestamps, batch.origins, strict=True):
            if not held:
                self._since = self._context.elapsed_ms
            held.append(each)
            if len(held) >= self.most:
                lists.append(held)
                held = self._release()
            else:
                put(self._next, each)
                self._next += 1
        return _batch(lists)

    def overdue(self) -> Batch:
        """The list whose time is over, if it is: a batch of one or none."""
        if self._held and self._since is None:
            self._since = self._context.elapsed_ms
        if self._since is None or self._context.elapsed_ms - self._since < self.within_ms:
            return _batch([])
        return self.rest()

    def rest(self) -> Batch:
        """What waits, as the last list: a batch of one or none."""
        lists = [self._held] if self._held else []
        self._release()
        return _batch(lists)

    def _release(self) -> list[_Held]:
        for number in range(self._first, self._next):
            self._store.delete(number)
        # Numbers begin anew, so that the same few keys are written and deleted again and again.
        self._first = self._next = 0
        self._since = None
        self._held = []
        return self._held


class Take(Processor):
    """Hands on lists of events. A list has the key, time and headers of its last event."""

    def __init__(self, context: TaskContext, store: str, most: int, within_ms: int) -> None:
        super().__init__()
        self._waiting = Waiting(context, context.stores[store], most, within_ms)

    async def receive(self, batch: Batch) -> None:
        await self.forward(self._waiting.take(batch))

    async def advance(self) -> None:
        await self.forward(self._waiting.overdue())

    async def end_of_input(self) -> None:
        await self.forward(self._waiting.rest())


def _batch(lists: list[list[_Held]]) -> Batch:
    rows = Rows()
    for held in lists:
        keys, values, timestamps, origins = map(list, zip(*held, strict=True))
        taken: Taken[Any] = Taken(Batch(keys, values, timestamps, origins))
        rows.add(keys[-1], taken, timestamps[-1], joined_origin(origins))
    return rows.batch()


def _encode_number(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _decode_number(data: bytes) -> int:
    return int.from_bytes(data, "big")
