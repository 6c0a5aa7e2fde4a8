"""The events of a left or outer stream-stream join that have met no other yet, until their window is over.

State is the values of the events of a side, time and key, under the time at which their window is over.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import Any

import msgspec

from ottla.serdes import Codec
from ottla.state.cache import StoreCache
from ottla.state.format import format_of_both
from ottla.state.store import StoreSpec
from ottla.task.agenda import Agenda
from ottla.task.slots import STREAM_TIME, slot_spec


class Side(IntEnum):
    """A side of a join. Of results that are due at once and have one time, those of the right come first."""

    RIGHT = 0
    LEFT = 1


Pending = tuple[int, Side, Any, Any]
"""An event whose window is over: time, side, key and value."""

_NEVER = 1 << 62


def unmatched_spec(
    app_id: str, name: str, key: Codec[Any], left: Codec[Any], right: Codec[Any], definition: str
) -> StoreSpec:
    """The store of unmatched events. `left` and `right` are the codecs of the values of the sides.

    When an event's window is over goes by the window, which `definition` says.
    """
    pack = msgspec.msgpack.Encoder().encode
    unpack = msgspec.msgpack.Decoder(int | tuple[int, list[bytes]]).decode
    codecs = {Side.LEFT: left, Side.RIGHT: right}

    def encode_key(of: tuple[Side, Any]) -> bytes:
        side, inner = of
        return bytes((side,)) + key.encode(inner)

    def decode_key(data: bytes) -> tuple[Side, Any]:
        return Side(data[0]), key.decode(data[1:])

    def encode(stored: int | tuple[Side, list[Any]]) -> bytes:
        if isinstance(stored, int):
            return pack(stored)
        side, values = stored
        return pack((side, [codecs[side].encode(value) for value in values]))

    def decode(data: bytes) -> int | tuple[Side, list[Any]]:
        stored = unpack(data)
        if isinstance(stored, int):
            return stored
        side = Side(stored[0])
        return side, [codecs[side].decode(value) for value in stored[1]]

    spec = slot_spec(app_id, name, Codec("side and key", encode_key, decode_key), encode, decode)
    return replace(spec, format=format_of_both("unmatched of a join", key, left, right, definition))


class Unmatched:
    """Unmatched events of both sides, and the stream time that both share.

    `waits_ms` is, for each side, how much later than an event stream time must be for its window to be over.
    """

    def __init__(self, store: StoreCache, waits_ms: dict[Side, int]) -> None:
        self._store = store
        self._waits_ms = waits_ms
        self._agenda = Agenda(store, max(waits_ms.values()) // 32)
        self.stream_time: int = store.get(STREAM_TIME, -1)
        # When the last event came, and what stream time was then.
        self._heard_ms: int | None = None
        self._heard_time = self.stream_time

    def advance(self, timestamp: int) -> None:
        """Takes note of an event's time, whichever side it is of."""
        if timestamp > self.stream_time:
            self.stream_time = timestamp
            self._store.put(STREAM_TIME, timestamp)

    def hear(self, elapsed_ms: int) -> None:
        """Takes note of when events came (`TaskContext.elapsed_ms`)."""
        self._heard_ms, self._heard_time = elapsed_ms, self.stream_time

    def put(self, side: Side, key: Any, value: Any, timestamp: int) -> None:
        time, of = timestamp + self._waits_ms[side], (side, key)
        _, values = self._store.get((time, of)) or (side, [])
        self._agenda.put(time, of, (side, [*values, value]))

    def matched(self, side: Side, key: Any, timestamp: int) -> None:
        """The events of this side, key and time have met another."""
        slot = (timestamp + self._waits_ms[side], (side, key))
        if slot in self._store:
            self._store.delete(slot)

    def over(self) -> list[Pending]:
        """Removes the events whose window is over, in the order in which they are to be emitted."""
        return self._take(self.stream_time) if self._agenda.due(self.stream_time) else []

    def over_by_clock(self, elapsed_ms: int, idle_ms: int) -> list[Pending]:
        """As `over`, if none came for so long: stream time is then as much later as the clock."""
        if self._heard_ms is None:
            self._heard_ms = elapsed_ms
        silent_ms = elapsed_ms - self._heard_ms
        time = self._heard_time + silent_ms
        if silent_ms < idle_ms or self._heard_time < 0 or not self._agenda.due(time):
            return []
        self.advance(time)
        return self.over()

    def rest(self) -> list[Pending]:
        """Removes all events, at the end of the input."""
        return self._take(_NEVER)

    def _take(self, before: int) -> list[Pending]:
        """Those that are over before this time: by their own times, then the right side first, then by encoded key."""

        def order(taken: tuple[int, tuple[Side, Any], Any]) -> tuple[int, bytes]:
            time, of, _ = taken
            return time - self._waits_ms[of[0]], self._store.spec.encode_key((0, of))

        return [
            (time - self._waits_ms[side], side, key, value)
            for time, (side, key), (_, values) in sorted(self._agenda.take(before), key=order)
            for value in values
        ]
