"""An event with its context, as agents and handlers see it, and several of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec

from ottla.batch import Batch
from ottla.transport.contract import Headers

V = TypeVar("V")


class Event(msgspec.Struct, Generic[V], frozen=True):
    """An event with its context, as `stream.events()` gives it. `timestamp` is its event time in milliseconds.

    `topic`, `partition` and `offset` tell where it was read; they are empty and -1 for what no one message made, the
    result of a closed window.
    """

    key: Any
    value: V
    timestamp: int
    headers: Headers
    topic: str
    partition: int
    offset: int


class Taken(list[V]):
    """The values that `stream.take` gives at once; `events` has the same with their contexts."""

    __slots__ = ("events",)

    def __init__(self, events: Iterable[Event[V]]) -> None:
        self.events = list(events)
        super().__init__(event.value for event in self.events)


def event_at(batch: Batch, row: int) -> Event[Any]:
    """A row of a batch as an event."""
    origin = batch.origins[row]
    return Event(
        batch.keys[row],
        batch.values[row],
        batch.timestamps[row],
        list(batch.headers(row) or ()),
        "" if origin is None else origin.topic(),
        -1 if origin is None else origin.partition(),
        -1 if origin is None else origin.offset(),
    )
