"""An event with its context, as agents and handlers see it, and several of them at once."""

from __future__ import annotations

from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from ottla.task.batch import Batch
from ottla.transport.contract import Headers

V = TypeVar("V")

SAME: Final[Any] = object()
"""Stands for what the event has already, since None is a key and a value too."""


class Destination(Protocol):
    """What an event can be sent to: a topic, an agent, a channel."""

    async def send(
        self, *, key: Any = None, value: Any = None, timestamp: int | None = None, headers: Headers | None = None
    ) -> None: ...


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

    async def forward(
        self, to: Destination, *, key: Any = SAME, value: Any = SAME, headers: Headers | None = None
    ) -> None:
        """Sends the event on to a topic, agent or channel, with its key, value, time and headers unless they are
        given."""
        await to.send(
            key=self.key if key is SAME else key,
            value=self.value if value is SAME else value,
            timestamp=self.timestamp,
            headers=self.headers if headers is None else headers,
        )


class Taken(list[V]):
    """The values of several events that are given at once; `events` has the same with their contexts."""

    __slots__ = ("_batch", "_events")

    def __init__(self, batch: Batch) -> None:
        super().__init__(batch.values)
        self._batch = batch
        self._events: list[Event[V]] | None = None

    @property
    def keys(self) -> list[Any]:
        return self._batch.keys

    @property
    def timestamps(self) -> list[int]:
        return self._batch.timestamps

    @property
    def events(self) -> list[Event[V]]:
        """Made when they are first asked for: who needs the values alone does not pay for them."""
        if self._events is None:
            self._events = [event_at(self._batch, row) for row in range(len(self._batch))]
        return self._events


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
