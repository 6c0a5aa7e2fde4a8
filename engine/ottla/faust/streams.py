"""The stream that a Faust agent is given, and what its function does to it.

Faust's agents change their streams as they begin: `async for order in orders.group_by(Order.account)`. Ottla's graph is
fixed before. So the function is begun once with a stream that notes what is asked of it, up to where it is iterated
(`steps_of`); the steps are declared, and the stream of a running agent has them behind it already.
"""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar, cast

import ottla
from ottla.errors import TopologyError
from ottla.faust.awaiting import filtered, grouped
from ottla.faust.events import TP, Event
from ottla.faust.exceptions import Skip
from ottla.faust.missing import STREAM, Lacking
from ottla.topology.discovery import names_in

T = TypeVar("T")

Step = Callable[[ottla.Stream[Any]], ottla.Stream[Any]]

_EVER = timedelta(days=36_500)
"""How long a list waits to be full that is to wait as long as it takes."""
_CHANGES = {"group_by", "filter", "through", "echo", "combine", "add_processor", "noack"}


class Iterated(BaseException):
    """The function has come to iterate its stream."""


class Stream(Lacking, Generic[T]):
    """The stream of a running agent."""

    _lacks = STREAM
    _called = "stream"

    def __init__(self, app: Any, running: ottla.Stream[Any]) -> None:
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

    def take(self, max_: int, within: Any = _EVER) -> AsyncIterator[list[T]]:
        """Lists of values: so many, or what came within that time. What waits for its list is acknowledged, and kept
        as state: `noack` has no meaning for it."""
        if self.app.sensors:
            return ([event.value for event in events] async for events in self.take_events(max_, within))
        return cast("AsyncIterator[list[T]]", self._running.take(max_, within).__aiter__())

    async def take_events(self, max_: int, within: Any = _EVER) -> AsyncIterator[list[Event]]:
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


@dataclass
class Noted(Lacking):
    """Stands for the stream while a function is begun, and notes what it asks for."""

    _lacks = STREAM
    _called = "stream"

    app: Any
    steps: list[Step] = field(default_factory=list)

    def __aiter__(self) -> Any:
        raise Iterated

    def items(self, *_: Any, **__: Any) -> Any:
        raise Iterated

    events = enumerate = take = take_events = take_with_timestamp = items

    def __and__(self, other: Any) -> Self:
        return self.combine(other)

    def combine(self, *others: Any) -> Self:
        """The events of other topics, too."""
        for other in others:
            if not isinstance(other, TopicStream):
                raise TopologyError(f"{other!r} cannot be combined with a stream: it must be a topic's, topic.stream()")
        self.steps.append(lambda stream: stream.merge(*(other.made() for other in others)))
        return self

    def add_processor(self, processor: Callable[[Any], Any]) -> None:
        """Applied by the running stream."""

    def noack(self) -> Self:
        if self.app.conf.processing_guarantee == "exactly_once":
            raise TopologyError(
                "stream.noack() is not to be had exactly once, where an event, what it did and its acknowledgment are "
                'one: leave it out, or say faust.App(processing_guarantee="at_least_once")'
            )
        return self

    def group_by(self, key: Any, *, name: str | None = None, topic: Any = None, partitions: int | None = None) -> Self:
        if topic is not None:
            raise TopologyError("group_by(topic=) has no meaning under Ottla: the topic is APP-NAME-repartition")
        if inspect.iscoroutinefunction(key):
            self.steps.append(lambda stream: grouped(stream, key, name, partitions))
            return self
        selector, type_ = key_of(key)
        self.steps.append(lambda stream: stream.group_by(selector, name=name, type=type_, partitions=partitions))
        return self

    def filter(self, fun: Callable[[Any], Any]) -> Self:
        if inspect.iscoroutinefunction(fun):
            self.steps.append(lambda stream: filtered(stream, fun))
            return self
        self.steps.append(lambda stream: stream.filter(fun))
        return self

    def through(self, channel: Any) -> Self:
        self.steps.append(lambda stream: stream.through(self.app.as_topic(channel).one("passed through")))
        return self

    def echo(self, *channels: Any) -> Self:
        topics = [self.app.as_topic(channel).one("echoed to") for channel in channels]
        self.steps.append(lambda stream: stream.echo(*topics))
        return self


class TopicStream(Noted):
    """The events of a topic, `topic.stream()`, to be combined with the stream of an agent."""

    def __init__(self, app: Any, topic: Any) -> None:
        super().__init__(app)
        self._topic = topic

    def made(self) -> ottla.Stream[Any]:
        """The stream of Ottla's."""
        stream: ottla.Stream[Any] = self._topic.merged()
        for step in self.steps:
            stream = step(stream)
        return stream

    def add_processor(self, processor: Callable[[Any], Any]) -> None:
        raise TopologyError(f"{processor!r}: processors are added to the stream that an agent is given")

    def __aiter__(self) -> Any:
        raise TopologyError(f"the stream of {self._topic!r} is iterated by an agent: @app.agent(topic)")

    def items(self, *_: Any, **__: Any) -> Any:
        return self.__aiter__()

    events = enumerate = take = take_events = take_with_timestamp = items


def steps_of(app: Any, function: Callable[..., Any]) -> list[Step]:
    """What the function does to its stream before it iterates it. It is begun for that only if its code shows any."""
    written = unwrapped(function)
    if not (names_in(written) & (_CHANGES | STREAM.keys()) or _uses_and(written)):
        return []
    noted = Noted(app)
    begun = function(noted)
    advance = begun.__anext__() if inspect.isasyncgen(begun) else begun
    try:
        advance.send(None)
    except (Iterated, StopIteration, StopAsyncIteration):
        pass
    else:
        raise TopologyError(
            f"agent {written.__name__!r} awaits something before it iterates its stream, and changes the stream: "
            "what it makes of the stream must be seen at the start"
        )
    finally:
        if inspect.iscoroutine(begun):
            begun.close()
    return noted.steps


def unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, of one with some of its arguments."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _uses_and(function: Callable[..., Any]) -> bool:
    """Whether `&` is in the function's code, which may stand between streams."""
    return any(each.opname == "BINARY_OP" and each.argrepr == "&" for each in dis.get_instructions(function))


def key_of(key: Any) -> tuple[Any, Any]:
    """A selector of Ottla's, and the key's type if it is known, for a field of a model or a function."""
    from ottla.faust.models.fields import FieldDescriptor, plain_type

    if isinstance(key, FieldDescriptor):
        return key.field, plain_type(key.type)
    return key, None
