"""Channels: streams within one process, in memory. What is in one is lost when the process ends.

    app.channel() ──> await channel.send(value=...) ──> at most `maxsize` wait ──> an agent, or await channel.get()

An agent over a channel is an asyncio task of the worker, outside the stream tasks: it may send, ask and wait for what
it likes, and has no part of a table. What it sends commits soon after, like what a background task sends.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Generic, TypeVar, cast

from ottla.agents.asking import Asking
from ottla.agents.function import check_function
from ottla.errors import AgentFailed, ConfigError, NoAnswer, TopologyError
from ottla.escapes import is_being_cancelled
from ottla.event import Event, Taken
from ottla.jobs import call
from ottla.naming import name_of
from ottla.outlet import outlet
from ottla.serdes import JSON
from ottla.stream import Stream
from ottla.task.batch import Batch
from ottla.task.take import checked_take
from ottla.time import Duration, checked_timestamp, duration_ms
from ottla.topic import Topic
from ottla.transport.contract import Headers

log = logging.getLogger("ottla.worker")

V = TypeVar("V")
R = TypeVar("R")

_Item = tuple[Event[Any], "asyncio.Future[Any] | None"]
"""An event, and who waits for its answer."""


class Channel(Generic[V]):
    """Events in memory, from whoever sends to whoever reads. Made by `App.channel`."""

    def __init__(self, maxsize: int) -> None:
        if maxsize < 1:
            raise ConfigError(f"channel(maxsize={maxsize}) must be at least 1: a channel is bounded")
        self._queue: asyncio.Queue[_Item] = asyncio.Queue(maxsize)

    def __repr__(self) -> str:
        return f"<channel with {self._queue.qsize()} of {self._queue.maxsize}>"

    async def send(
        self,
        *,
        key: Any = None,
        value: V | None = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
    ) -> None:
        """Adds an event; waits while the channel is full. It is there at once, whatever becomes of the transaction of
        an agent that sends."""
        await self.put(key, value, timestamp, headers, None)

    async def put(
        self,
        key: Any,
        value: V | None,
        timestamp: int | None,
        headers: Headers | None,
        answer: asyncio.Future[Any] | None,
    ) -> None:
        time_ms = _now_ms() if timestamp is None else checked_timestamp(timestamp)
        await self._queue.put((Event(key, value, time_ms, list(headers or ()), "", -1, -1), answer))

    async def get(self) -> Event[V]:
        """Takes the next event; waits while there is none."""
        event, _ = await self.take()
        self.done()
        return event

    def empty(self) -> bool:
        return self._queue.empty()

    async def __aiter__(self) -> AsyncIterator[Event[V]]:
        while True:
            yield await self.get()

    async def take(self) -> _Item:
        """The next event for an agent, which says when it is `done`."""
        return await self._queue.get()

    def done(self) -> None:
        self._queue.task_done()

    async def all_done(self) -> None:
        """Returns when agents are done with everything that was sent."""
        await self._queue.join()


class ChannelAgent(Asking[V, R]):
    """An agent over a channel. Made by `@app.agent(channel)`.

    An event is done when the function asks for the next. One on which it raises is logged and gone, and the function
    begins anew; with `fail` the error is raised on. `run` runs one instance; there may be several.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], channel: Channel[V], sink: Sequence[Any], *, fail: bool
    ) -> None:
        self.name = name
        self.function = function
        self.channel = channel
        self.answer_codec = JSON
        self._sink = sink
        self._fail = fail
        self.__doc__ = function.__doc__
        for each in sink:
            if not (isinstance(each, (Topic, Channel, Asking)) or callable(each)):
                raise TopologyError(f"agent {name!r}: sink {each!r} must be a topic, a channel, an agent or a function")

    def __repr__(self) -> str:
        return f"<agent {self.name}>"

    async def send(
        self, *, key: Any = None, value: V | None = None, timestamp: int | None = None, headers: Headers | None = None
    ) -> None:
        """Sends an event to the agent's channel, as `Channel.send` does."""
        await self.channel.send(key=key, value=value, timestamp=timestamp, headers=headers)

    async def cast(
        self, value: V | None = None, *, key: Any = None, timestamp: int | None = None, headers: Headers | None = None
    ) -> None:
        """Sends an event to the agent's channel, and expects no answer."""
        await self.send(key=key, value=value, timestamp=timestamp, headers=headers)

    async def ask(
        self,
        value: V | None = None,
        *,
        key: Any = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
        within: Duration = 30.0,
    ) -> R | None:
        """As `Agent.ask`, but within the process: from stream agents too, and the answer waits for no commit."""
        if partition is not None:
            raise TopologyError(f"agent {self.name!r} reads a channel, which has no partitions")
        answer: asyncio.Future[R | None] = asyncio.get_running_loop().create_future()
        seconds = duration_ms(within, "ask(within)") / 1000
        try:
            async with asyncio.timeout(seconds):
                await self.channel.put(key, value, timestamp, headers, answer)
                return await answer
        except TimeoutError:
            raise NoAnswer(f"agent {self.name!r} did not answer within {seconds:g} s") from None

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            at = _At(self.channel)
            try:
                await self._run(at)
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
                    raise
                at.answer_error(self.name, error)
                if self._fail:
                    raise
                log.exception("agent %s failed on %r", self.name, at.event)
            else:
                if at.event is None:
                    raise TopologyError(f"agent {self.name!r} returned without reading its stream")
            finally:
                at.leave()

    async def _run(self, at: _At) -> None:
        written = inspect.unwrap(self.function)
        if inspect.isasyncgenfunction(written):
            async with aclosing(self.function(_ChannelStream(at))) as results:
                async for result in results:
                    await self._hand_on(at, result)
        elif inspect.iscoroutinefunction(written):
            await self.function(_ChannelStream(at))
        else:
            while True:
                results = self.function((await at.next()).value)
                if not isinstance(results, Iterator):
                    results = () if results is None else (results,)
                for result in results:
                    await self._hand_on(at, result)

    async def _hand_on(self, at: _At, result: Any) -> None:
        event = at.event
        at.answer(result)
        for sink in self._sink:
            if event is not None and isinstance(sink, (Topic, Channel, Asking)):
                await event.forward(cast(Any, sink), value=result)
            else:
                await call(lambda sink=sink: sink(result))  # type: ignore[misc]


class ChannelAgentDecorator(Generic[V]):
    """What `app.agent(channel)` returns: makes a `ChannelAgent` of the function below it, and has it `registered`."""

    def __init__(
        self,
        channel: Channel[V],
        registered: Callable[[ChannelAgent[V, Any]], None],
        *,
        name: str | None,
        sink: Sequence[Any],
        fail: bool,
    ) -> None:
        self._channel = channel
        self._registered = registered
        self._name = name
        self._sink = sink
        self._fail = fail

    def __call__(self, function: Callable[..., Any]) -> ChannelAgent[V, Any]:
        name = name_of("an agent", function, self._name)
        check_function(name, function)
        agent: ChannelAgent[V, Any] = ChannelAgent(name, function, self._channel, self._sink, fail=self._fail)
        self._registered(agent)
        return agent


class _At:
    """The event of a channel that an agent is at."""

    def __init__(self, channel: Channel[Any]) -> None:
        self.channel = channel
        self.event: Event[Any] | None = None
        self._items: list[_Item] = []

    async def next(self) -> Event[Any]:
        self.leave()
        return await self.add()

    async def add(self) -> Event[Any]:
        """One more, beside those that it is at already."""
        item = await self.channel.take()
        self._items.append(item)
        self.event = item[0]
        return item[0]

    def leave(self) -> None:
        """Done with what it is at: who asked and got nothing gets None."""
        self.answer(None)
        for _ in self._items:
            self.channel.done()
        self._items.clear()

    def answer(self, result: Any) -> None:
        for _, answer in self._items:
            if answer is not None and not answer.done():
                answer.set_result(result)

    def answer_error(self, agent: str, error: BaseException) -> None:
        for _, answer in self._items:
            if answer is not None and not answer.done():
                answer.set_exception(AgentFailed(f"agent {agent!r} failed: {type(error).__name__}: {error}"))


class _ChannelStream(Stream[V]):
    """The stream that a channel's agent is given. The rest of what streams can do needs a topology."""

    def __init__(self, at: _At) -> None:
        self._at = at
        self.step = "channel"

    @property
    def graph(self) -> Any:  # type: ignore[override]
        raise TopologyError("the stream of a channel is iterated, or taken by lists; operators need a topic")

    async def __aiter__(self) -> AsyncIterator[V]:
        while True:
            yield (await self._at.next()).value

    async def items(self) -> AsyncIterator[tuple[Any, V]]:
        while True:
            event = await self._at.next()
            yield event.key, event.value

    async def events(self) -> AsyncIterator[Event[V]]:
        while True:
            yield await self._at.next()

    async def enumerate(self, start: int = 0) -> AsyncIterator[tuple[int, V]]:
        number = start
        async for value in self:
            yield number, value
            number += 1

    def take(self, most: int, within: Duration, *, name: str | None = None) -> Stream[Taken[V]]:  # noqa: ARG002
        return cast(Stream[Taken[V]], _Lists(self._at, *checked_take(most, within)))


class _Lists(_ChannelStream[Any]):
    """Lists of a channel's events: up to so many, or as many as came within a time of the first."""

    def __init__(self, at: _At, most: int, within_ms: int) -> None:
        super().__init__(at)
        self._most = most
        self._within_s = within_ms / 1000

    async def __aiter__(self) -> AsyncIterator[Any]:
        at = self._at
        while True:
            events = [await at.next()]
            try:
                async with asyncio.timeout(self._within_s):
                    while len(events) < self._most:
                        events.append(await at.add())
            except TimeoutError:
                pass
            yield Taken(
                Batch(
                    [event.key for event in events],
                    [event.value for event in events],
                    [event.timestamp for event in events],
                    [None] * len(events),
                )
            )


def _now_ms() -> int:
    """The clock of whoever runs this code, if it has one."""
    out = outlet.get(None)
    return time.time_ns() // 1_000_000 if out is None else out.now_ms()
