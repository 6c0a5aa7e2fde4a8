"""The stream that a Faust agent is given. What its function does to it before it iterates it is in `noted.py`."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import ottla
from ottla.faust.events import TP, Event
from ottla.faust.exceptions import Skip
from ottla.faust.missing import STREAM, Lacking

if TYPE_CHECKING:
    from ottla.faust.channel_streams import Taking
    from ottla.faust.reading import Reading

T = TypeVar("T")

EVER = timedelta(days=36_500)
"""How long a list waits to be full that is to wait as long as it takes."""


class Stream(Lacking, Generic[T]):
    """The stream of a running agent."""

    _lacks = STREAM
    _called = "stream"

    def __init__(self, app: Any, running: ottla.Stream[Any] | Reading | Taking) -> None:
        self.app = app
        self._running = running
        self._processors: list[Callable[[Any], Any]] = []
        # What the sensors are to be told when the agent is done with the events that it is at.
        self._told = ExitStack()
        # Whether the agent acknowledges its events, and the one that it is at then.
        self._manual = False
        self._at: Event | None = None

    def __and__(self, other: Any) -> Stream[T]:
        return self.combine(other)

    def __repr__(self) -> str:
        return f"<Stream: {self._running!r}>"

    def __aiter__(self) -> AsyncIterator[T]:
        values = self._running.__aiter__()
        if self._follows_events:
            values = (event.value async for event in self.events())
        return self._processed(values) if self._processors else values

    async def _processed(self, values: AsyncIterator[T]) -> AsyncIterator[T]:
        async for value in values:
            try:
                for process in self._processors:
                    changed = process(value)
                    value = await changed if inspect.isawaitable(changed) else changed
            except Skip:
                continue
            yield value

    def items(self) -> AsyncIterator[tuple[Any, T]]:
        """Keys and values."""
        if self._follows_events:
            return ((event.key, event.value) async for event in self.events())
        return self._running.items()

    async def events(self) -> AsyncIterator[Event]:
        """Events with their contexts."""
        app = self.app
        if not self._follows_events:
            async for event in self._running.events():
                yield Event(app, event)
            return
        async for event in self._running.events():
            told = Event(app, event)
            self._come_to(told)
            if self._manual:
                told.hold()
                self._at = told
            yield told
            self.left()
            self._at = None

    async def enumerate(self, start: int = 0) -> AsyncIterator[tuple[int, T]]:
        """Values with their numbers."""
        number = start
        async for value in self:
            yield number, value
            number += 1

    def take(self, max_: int, within: Any = EVER) -> AsyncIterator[list[T]]:
        """Lists of values: so many, or what came within that time. What waits for its list is acknowledged, and kept
        as state: `noack` has no meaning for it."""
        if self.app.sensors:
            return ([event.value for event in events] async for events in self.take_events(max_, within))
        return cast("AsyncIterator[list[T]]", self._running.take(max_, within).__aiter__())

    async def take_events(self, max_: int, within: Any = EVER) -> AsyncIterator[list[Event]]:
        """Lists of events."""
        async for values in self._running.take(max_, within):
            events = [Event(self.app, event) for event in values.events]
            for event in events:
                self._come_to(event)
            yield events
            self.left()

    async def take_with_timestamp(self, max_: int, within: Any, timestamp_field_name: str) -> AsyncIterator[list[Any]]:
        """Lists of values, of which dicts have their event's time, in seconds, in a field."""
        async for events in self.take_events(max_, within):
            yield [
                {**event.value, timestamp_field_name: event.message.timestamp}
                if isinstance(event.value, dict)
                else event.value
                for event in events
            ]

    def noack(self) -> Stream[T]:
        """The stream, whose events the agent acknowledges itself: `event.ack()`, or `stream.ack(event)`. What it has
        not acknowledged is processed again after a crash, or when another worker takes over."""
        self._manual = True
        return self

    async def ack(self, event: Event) -> bool:
        """Acknowledges an event."""
        return await event.ack()

    @property
    def _follows_events(self) -> bool:
        return self._manual or bool(self.app.sensors)

    def _come_to(self, event: Event) -> None:
        """Tells the sensors, if there are any, that the agent is at an event."""
        if self.app.sensors:
            self._told.enter_context(self.app.sensors.of_event(self, event))

    def left(self) -> None:
        """The agent is done with what it was at."""
        self._told.close()

    def failed(self) -> None:
        """The agent failed on what it was at: that is dealt with, and acknowledged."""
        self.left()
        if self._at is not None:
            self._at.ack()

    @property
    def current_event(self) -> Event | None:
        event: Event | None = self.app.current_event() if self._at is None else self._at
        return event

    @property
    def active_partitions(self) -> set[TP]:
        """The partition of the event at hand: an agent is at one at a time."""
        event = self.current_event
        return set() if event is None else {event.message.tp}

    def get_active_stream(self) -> Stream[T]:
        return self

    def add_processor(self, processor: Callable[[Any], Any]) -> None:
        """Each value is what this function, async or not, makes of it."""
        self._processors.append(processor)

    def group_by(
        self,
        key: Any,  # noqa: ARG002 - it was declared so
        *,
        name: str | None = None,  # noqa: ARG002
        topic: Any = None,  # noqa: ARG002
        partitions: int | None = None,  # noqa: ARG002
    ) -> Stream[T]:
        """The stream itself: it was declared so."""
        return self

    def filter(self, fun: Callable[[T], Any]) -> Stream[T]:  # noqa: ARG002
        """The stream itself: it was declared so."""
        return self

    def through(self, channel: Any) -> Stream[T]:  # noqa: ARG002
        """The stream itself: it was declared so."""
        return self

    def combine(self, *_: Any, **__: Any) -> Stream[T]:
        """The stream itself: it was declared so."""
        return self

    echo = combine
