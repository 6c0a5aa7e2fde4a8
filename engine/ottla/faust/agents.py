"""Agents of a Faust app: declared at once, made Ottla's when the app is complete."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import ottla
from ottla.agents.agent import AgentDecorator
from ottla.errors import NotInTask, TopologyError
from ottla.faust.channels import Channel
from ottla.faust.events import HeadersArg, Sent, check_callback, headers_of, milliseconds
from ottla.faust.missing import AGENT, Lacking
from ottla.faust.noted import steps_of, unwrapped
from ottla.faust.serializers.codecs import CodecArg
from ottla.faust.serializers.schemas import Schema
from ottla.faust.streams import Stream
from ottla.faust.tables import FaustGlobalTable
from ottla.faust.testing import AgentTest
from ottla.faust.topics import Topic
from ottla.task.processor import current
from ottla.topology.discovery import names_in, tables_used_by

log = logging.getLogger("ottla.faust")


class Agent(Lacking):
    """An agent. Made by `App.agent`."""

    _lacks = AGENT
    _called = "agent"

    def __init__(
        self,
        app: Any,
        name: str,
        fun: Callable[..., Any],
        channel: Any,
        sink: Sequence[Any],
        concurrency: int,
        help: str | None = None,  # noqa: A002 - Faust's name
        on_error: Callable[[Agent, BaseException], Any] | None = None,
    ) -> None:
        if not (inspect.isasyncgenfunction(fun) or inspect.iscoroutinefunction(fun)):
            raise TypeError(f"agent {name!r} must be an async function of its stream")
        self.app = app
        self.name = name
        self.fun = fun
        self.channel = channel
        self._sink = list(sink)
        self.concurrency = concurrency
        self.help = help or fun.__doc__ or ""
        self._on_error = on_error
        self._made: Any = None
        self.observer: AgentTest | None = None
        self.__doc__ = fun.__doc__

    def __repr__(self) -> str:
        return f"<Agent: {self.name}>"

    @property
    def yields(self) -> bool:
        """Whether it has results."""
        return inspect.isasyncgenfunction(self.fun)

    @property
    def reads(self) -> str:
        """The name of its topic; nothing for a channel."""
        return ",".join(self.channel.topics) if isinstance(self.channel, Topic) else ""

    def add_sink(self, sink: Any) -> None:
        """Gives the results to one more topic, agent or function."""
        if self._made is not None:
            raise TopologyError(f"agent {self.name!r}: sinks cannot be added while the app runs")
        if sink not in self._sink:
            self._sink.append(sink)

    def test_context(
        self,
        channel: Any = None,
        supervisor_strategy: Any = None,  # noqa: ARG002 - an agent that raises begins anew
        on_error: Callable[[Agent, BaseException], Any] | None = None,
    ) -> AgentTest:
        """For tests: `async with agent.test_context() as agent: await agent.put(value)`. Raises `TopologyError` for
        another channel than the agent's own."""
        if channel is not None:
            raise TopologyError(
                f"agent {self.name!r}: test_context(channel=) is not part of Ottla's Faust facade: the app runs as it "
                "is, and the agent is given what put() says"
            )
        return AgentTest(self, on_error)

    def make(self) -> None:
        """Declares the agent to Ottla. Called when everything else of the app is known."""
        if isinstance(self.channel, Channel):
            declare = self.app.declared.agent(
                self.channel.declared, name=self.name, sink=self._sinks(), concurrency=self.concurrency
            )
            self._made = declare(self._adapted())
            return
        topic = self.channel
        stream = topic.merged()
        for step in steps_of(self.app, self.fun):
            stream = step(stream)
        declare = AgentDecorator(
            stream.graph,
            stream,
            topic.declared[0] if len(topic.declared) == 1 else None,
            name=self.name,
            sink=self._sinks(),
            concurrency=self.concurrency,
            uses=[table for table in tables_used_by([self.fun]) if isinstance(table, FaustGlobalTable)],
            results=self.app.value_codec(None),
        )
        self._made = declare(self._adapted())

    def ready(self) -> Any:
        """Ottla's agent."""
        if self._made is None:
            self.app.finalize()
        return self._made

    async def send(
        self,
        *,
        key: Any = None,
        value: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        key_serializer: CodecArg = None,
        value_serializer: CodecArg = None,
        callback: Any = None,
        reply_to: Any = None,
        correlation_id: str | None = None,
        force: bool = False,  # noqa: ARG002 - see Topic.send
    ) -> Sent:
        """Sends an event to the agent's topic or channel. What the agent yields for it first goes to `reply_to`, under
        the event's key. Raises `TopologyError` for a `correlation_id`."""
        check_callback(callback)
        if correlation_id is not None:
            raise TopologyError(
                f"agent {self.name!r}: send(correlation_id=) is not part of Ottla's Faust facade: the answer comes "
                "under the key of what was sent"
            )
        options: dict[str, Any] = {} if partition is None else {"partition": partition}
        if reply_to is not None:
            options["reply_to"] = (
                reply_to.ready() if isinstance(reply_to, Agent) else self.app.as_topic(reply_to).one("")
            )
        if isinstance(self.channel, Topic):
            key, value = self.channel.encoded(key, value, Schema(), key_serializer, value_serializer)
        await self.ready().send(
            key=key, value=value, timestamp=milliseconds(timestamp), headers=headers_of(headers), **options
        )
        return Sent()

    async def cast(
        self,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
    ) -> None:
        """Sends an event to the agent, and expects no answer."""
        await self.send(key=key, value=value, partition=partition, timestamp=timestamp, headers=headers)

    async def ask(
        self,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        reply_to: Any = None,
        correlation_id: str | None = None,  # noqa: ARG002 - a request has an id of its own
    ) -> Any:
        """Sends an event to the agent, and returns the first thing it yields for it, which is sent to a `reply_to`,
        too, under the same key. Within an agent, at least once only."""
        answer = await self.ready().ask(
            value, key=key, partition=partition, timestamp=milliseconds(timestamp), headers=headers_of(headers)
        )
        await self._pass_on(answer, reply_to, key)
        return answer

    async def ask_nowait(
        self,
        value: Any = None,
        *,
        key: Any = None,
        partition: int | None = None,
        timestamp: float | None = None,
        headers: HeadersArg = None,
        reply_to: Any = None,
        correlation_id: str | None = None,
        force: bool = False,  # noqa: ARG002 - see Topic.send
    ) -> asyncio.Task[Any]:
        """Sends an event to the agent, and returns what is awaited for the answer. Not within an agent, which is done
        with its event when it asks for the next one."""
        if current.get(None) is not None:
            raise NotInTask(f"agent {self.name!r}: ask_nowait works outside agents; within one, await ask()")
        asking = self.ask(
            value,
            key=key,
            partition=partition,
            timestamp=timestamp,
            headers=headers,
            reply_to=reply_to,
            correlation_id=correlation_id,
        )
        return asyncio.create_task(asking)

    async def map(self, values: Any, key: Any = None, reply_to: Any = None) -> AsyncIterator[Any]:
        """Asks with each value, and yields the answers as they arrive. They are sent to a `reply_to`, too."""
        async for answer in self.ready().map(values, key):
            await self._pass_on(answer, reply_to, key)
            yield answer

    async def kvmap(self, items: Any, reply_to: Any = None) -> AsyncIterator[Any]:
        """Asks with each (key, value) pair, and yields the answers as they arrive, as `map`."""
        async for answer in self.ready().kvmap(items):
            await self._pass_on(answer, reply_to, None)
            yield answer

    async def join(self, values: Any, key: Any = None, reply_to: Any = None) -> list[Any]:
        """Asks with each value, and returns the answers in their order. They are sent to a `reply_to`, too."""
        answers: list[Any] = await self.ready().join(values, key)
        for answer in answers:
            await self._pass_on(answer, reply_to, key)
        return answers

    async def kvjoin(self, items: Any, reply_to: Any = None) -> list[Any]:
        """Asks with each (key, value) pair, and returns the answers in their order, as `join`."""
        answers: list[Any] = await self.ready().kvjoin(items)
        for answer in answers:
            await self._pass_on(answer, reply_to, None)
        return answers

    async def _pass_on(self, answer: Any, reply_to: Any, key: Any) -> None:
        """Sends an answer on to a topic, its name, or an agent. Where all answers come anyway it is already."""
        if reply_to is not None and reply_to != self.app.conf.reply_to:
            await self.app.send(reply_to, key, answer)

    def _sinks(self) -> list[Any]:
        return [self._sink_of(sink) for sink in self._sink]

    def _sink_of(self, sink: Any) -> Any:
        to = sink.channel if isinstance(sink, Agent) else sink
        if isinstance(to, Topic):
            return to.one("sent to")
        return to.declared if isinstance(to, Channel) else to

    def _adapted(self) -> Callable[..., Any]:
        """The function over Ottla's stream. It passes for the user's own, so that tables are found in its code."""

        app, fun = self.app, self.fun
        told_of_failure = self._on_error is not None or "noack" in names_in(unwrapped(fun))

        @functools.wraps(fun)
        def function(running: ottla.Stream[Any]) -> Any:
            stream: Stream[Any] = Stream(app, running)
            at_work = fun(stream)
            if not (told_of_failure or self.observer is not None or app.sensors):
                return at_work
            return self._results_of(at_work, stream) if inspect.isasyncgen(at_work) else self._watched(at_work, stream)

        return function

    async def _results_of(self, at_work: AsyncIterator[Any], stream: Stream[Any]) -> AsyncIterator[Any]:
        try:
            async for value in at_work:
                if self.observer is not None:
                    self.observer.yielded(value)
                yield value
        except Exception as error:
            stream.failed()
            await self._tell(error)
            raise

    async def _watched(self, at_work: Awaitable[Any], stream: Stream[Any]) -> None:
        try:
            await at_work
        except Exception as error:
            stream.failed()
            await self._tell(error)
            raise

    async def _tell(self, error: Exception) -> None:
        """Tells who wants to know that the agent failed. What they send and write is not the failed event's: that is
        taken back before, so that this stays.
        """
        context = current.get(None)
        row = 0
        if context is not None and context.cursor is not None:
            row = context.cursor.row
            context.take_back(row, shared=True)
        for on_error in (self._on_error, None if self.observer is None else self.observer.failed):
            try:
                if on_error is not None and inspect.isawaitable(told := on_error(self, error)):
                    await told
            except Exception:
                log.exception("on_error of agent %s failed", self.name)
        if context is not None:
            context.journal[:] = [entry for entry in context.journal if entry[0] != row]
