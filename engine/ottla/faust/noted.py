"""What an agent does to its stream before it iterates it, and the streams of topics that tasks iterate.

Faust's agents change their streams as they begin: `async for order in orders.group_by(Order.account)`. Ottla's graph is
fixed before. So the function is begun once with a stream that notes what is asked of it, up to where it is iterated
(`steps_of`); the steps are declared, and the stream of a running agent has them behind it already.
"""

from __future__ import annotations

import dis
import functools
import inspect
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import ottla
from ottla.errors import TopologyError
from ottla.faust.awaiting import filtered, grouped
from ottla.faust.events import Event
from ottla.faust.exceptions import Skip
from ottla.faust.missing import STREAM, Lacking
from ottla.faust.streams import EVER, Stream
from ottla.task.processor import current
from ottla.topology.discovery import names_in

Step = Callable[[ottla.Stream[Any]], ottla.Stream[Any]]

_CHANGES = {"group_by", "filter", "through", "echo", "combine", "add_processor", "noack"}


class Iterated(BaseException):
    """The function has come to iterate its stream."""


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
    """The events of a topic, `topic.stream()`: to be combined with the stream of an agent, or iterated by a task."""

    def __init__(self, app: Any, topic: Any) -> None:
        super().__init__(app)
        self._topic = topic
        # What a task's stream does to its values; what was asked for that only an agent's stream does.
        self._processors: list[Callable[[Any], Any]] = []
        self._processed = False
        self._of_agents = ""

    def made(self) -> ottla.Stream[Any]:
        """The stream of Ottla's. Raises `TopologyError` if it has processors."""
        if self._processed:
            raise TopologyError(f"{self._topic!r}: processors are added to the stream that an agent is given")
        stream: ottla.Stream[Any] = self._topic.merged()
        for step in self.steps:
            stream = step(stream)
        return stream

    def add_processor(self, processor: Callable[[Any], Any]) -> None:
        """Each value is what this function, async or not, makes of it."""
        self._processors.append(processor)
        self._processed = True

    def filter(self, fun: Callable[[Any], Any]) -> Self:
        self._processors.append(passing(fun))
        return super().filter(fun)

    def group_by(self, key: Any, **options: Any) -> Self:
        self._of_agents = "group_by"
        return super().group_by(key, **options)

    def through(self, channel: Any) -> Self:
        self._of_agents = "through"
        return super().through(channel)

    def echo(self, *channels: Any) -> Self:
        self._of_agents = "echo"
        return super().echo(*channels)

    def combine(self, *others: Any) -> Self:
        self._of_agents = "combine"
        return super().combine(*others)

    def noack(self) -> Self:
        self._of_agents = "noack"
        return self

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._read(aiter, of_values=True)

    def items(self) -> AsyncIterator[tuple[Any, Any]]:
        return self._read(lambda stream: stream.items())

    def events(self) -> AsyncIterator[Event]:
        return self._read(lambda stream: stream.events())

    def enumerate(self, start: int = 0) -> AsyncIterator[tuple[int, Any]]:
        return self._read(lambda stream: stream.enumerate(start), of_values=True)

    def take(self, max_: int, within: Any = EVER) -> AsyncIterator[list[Any]]:
        return self._read(lambda stream: stream.take(max_, within))

    def take_events(self, max_: int, within: Any = EVER) -> AsyncIterator[list[Event]]:
        return self._read(lambda stream: stream.take_events(max_, within))

    def take_with_timestamp(self, max_: int, within: Any, timestamp_field_name: str) -> AsyncIterator[list[Any]]:
        return self._read(lambda stream: stream.take_with_timestamp(max_, within, timestamp_field_name))

    async def _read(
        self, iterated: Callable[[Stream[Any]], AsyncIterator[Any]], *, of_values: bool = False
    ) -> AsyncIterator[Any]:
        """Reads the topic outside agents. Raises `TopologyError` for what only the stream of an agent can do."""
        from ottla.faust.reading import reading

        if current.get(None) is not None:
            raise TopologyError(f"the stream of {self._topic!r} is not iterated within an agent: write another for it")
        if self._of_agents or (self._processors and not of_values):
            what = self._of_agents or "a processor or filter, but for values"
            raise TopologyError(
                f"the stream of {self._topic!r} has {what} where an agent iterates it: @app.agent(topic)"
            )
        async with reading(self.app, self._topic.each("iterated outside agents")) as found:
            stream: Stream[Any] = Stream(self.app, found)
            for processor in self._processors:
                stream.add_processor(processor)
            async for each in iterated(stream):
                yield each


def passing(test: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A processor that lets the values pass for which a function, async or not, is true."""

    async def passed(value: Any) -> Any:
        found = test(value)
        if not (await found if inspect.isawaitable(found) else found):
            raise Skip
        return value

    return passed


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
