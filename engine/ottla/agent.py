"""Agents: a user's async function over a stream, and how a task runs it a batch at a time.

An agent is one coroutine per task that lives as long as the task. It iterates its stream with `async for`; inside, the
stream is an async generator over the rows of the current batch, which suspends only when the batch is used up. What the
agent awaits itself (a lookup over HTTP, say) passes through to the worker's event loop; nothing else does, so that an
event costs no queue, task or future.

    receive(batch) ── resume the agent ──> it takes row after row, yields results ──> it asks for the next batch: return

So an event counts as processed when the agent has asked for the one after it, and a batch when it has asked for the
next. When the agent raises, what the event did to tables, outputs and topics is taken back, and a new coroutine
goes on: with the same event if it is to be retried, else with the next.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, Generic, TypeVar, cast, overload

from ottla.batch import Batch
from ottla.discovery import names_in
from ottla.errors import TopologyError
from ottla.event import Event, Taken, event_at
from ottla.graph import Graph
from ottla.hints import element_type, value_codec
from ottla.processor import Processor, TaskContext
from ottla.stream import Stream
from ottla.tables import Table
from ottla.take import Waiting, checked_take, take_spec
from ottla.time import Duration
from ottla.topic import Topic
from ottla.transport.contract import Headers

V = TypeVar("V")
R = TypeVar("R")

_NEXT_BATCH: Final = object()
"""What an agent's coroutine yields when it has used up its batch."""


class _Closed(BaseException):
    """Raised in an agent whose task ends before its input. Unlike GeneratorExit it lets a `finally` await."""


class Agent(Generic[V, R]):
    """A user's function over a stream of `V`, whose yields are a stream of `R`. Made by `@app.agent`."""

    def __init__(self, name: str, function: Callable[..., Any], stream: Stream[R], topic: Topic[Any, V] | None) -> None:
        self.name = name
        self.function = function
        self.stream = stream
        self.topic = topic
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<agent {self.name}>"

    async def cast(
        self, value: V | None = None, *, key: Any = None, timestamp: int | None = None, headers: Headers | None = None
    ) -> None:
        """Sends an event to the agent's topic, as `Topic.send` does."""
        if self.topic is None:
            raise TopologyError(f"agent {self.name!r} reads no topic but another stream, so nothing can be cast to it")
        await self.topic.send(key=key, value=value, timestamp=timestamp, headers=headers)


class AgentDecorator(Generic[V]):
    """What `app.agent(...)` returns: makes an `Agent` of the function below it."""

    def __init__(
        self,
        graph: Graph,
        source: Stream[V],
        topic: Topic[Any, V] | None,
        name: str | None,
        uses: Sequence[Table[Any, Any]],
        sink: Sequence[Topic[Any, Any]],
    ) -> None:
        self._graph = graph
        self._source = source
        self._topic = topic
        self._name = name
        self._uses = uses
        self._sink = sink

    @overload
    def __call__(self, function: Callable[[Stream[V]], AsyncIterator[R]]) -> Agent[V, R]: ...
    @overload
    def __call__(self, function: Callable[[Stream[V]], Awaitable[None]]) -> Agent[V, None]: ...
    def __call__(self, function: Callable[[Stream[V]], Any]) -> Agent[V, Any]:
        name = self._name or function.__name__
        if not (inspect.isasyncgenfunction(function) or inspect.iscoroutinefunction(function)):
            raise TopologyError(f"agent {name!r} must be an async function: `async def {name}(stream): async for ...`")
        graph, source = self._graph, self._source
        values = source.value_codec
        take_store = f"{name}-take" if values is not None and "take" in names_in(function) else None
        graph.add(
            name,
            "agent",
            lambda context, step: AgentProcessor(context, step, function, source, take_store),
            parents=(source.step,),
            stores=()
            if take_store is None or values is None
            else (take_spec(graph.app_id, take_store, source.key_codec, values),),
            functions=(function,),
            tables=tuple(self._uses),
        )
        stream: Stream[Any] = Stream(graph, name, source.key_codec, value_codec(element_type(function)))
        for topic in self._sink:
            stream.to(topic)
        return Agent(name, function, stream, self._topic)


class _Running(Stream[V]):
    """The stream an agent is given: its events are the rows of the batches that its processor receives."""

    def __init__(self, of: Stream[V], processor: AgentProcessor) -> None:
        self.step = of.step
        self.key_codec = of.key_codec
        self.value_codec = of.value_codec
        self._processor = processor

    @property
    def graph(self) -> Graph:  # type: ignore[override]
        """None to add operators to: the graph is fixed while it runs."""
        raise TopologyError(
            f"operators cannot be added to {self!r} while an agent runs; "
            "declare them before, as in @app.agent(app.stream(topic).filter(...))"
        )

    async def __aiter__(self) -> AsyncIterator[V]:
        at = self._processor
        while await at.has_next():
            first = at.row + 1
            values = islice(at.batch.values, first, None)
            for at.row, value in enumerate(values, first):
                yield value

    async def items(self) -> AsyncIterator[tuple[Any, V]]:
        at = self._processor
        while await at.has_next():
            first = at.row + 1
            batch = at.batch
            for at.row, item in enumerate(islice(zip(batch.keys, batch.values, strict=True), first, None), first):
                yield item

    async def events(self) -> AsyncIterator[Event[V]]:
        at = self._processor
        while await at.has_next():
            first = at.row + 1
            batch = at.batch
            for at.row in range(first, len(batch)):
                yield event_at(batch, at.row)

    async def enumerate(self, start: int = 0) -> AsyncIterator[tuple[int, V]]:
        number = start
        async for value in self:
            yield number, value
            number += 1

    def take(self, most: int, within: Duration, *, name: str | None = None) -> Stream[Taken[V]]:
        if name is not None:
            raise TopologyError("take(name=) names the state of a step; inside an agent it has the agent's name")
        self._processor.begin_taking(*checked_take(most, within))
        return cast(Stream[Taken[V]], self)  # From now on the rows of its batches are lists.


class AgentProcessor(Processor):
    """Runs one agent in one task. `batch` and `row` say which event it is at."""

    def __init__(
        self,
        context: TaskContext,
        name: str,
        function: Callable[[Stream[Any]], Any],
        source: Stream[Any],
        take_store: str | None,
    ) -> None:
        super().__init__()
        self.batch = Batch([], [], [], [])
        self.row = -1
        self._context = context
        self._name = name
        self._function = function
        self._stream: Stream[Any] = _Running(source, self)
        self._coroutine: Any = None
        self._ended = False
        self._failed_row = -1
        self._failures = 0
        self._yielded: list[Any] = []
        self._yielded_rows: list[int] = []
        self._take_store = None if take_store is None else context.stores[take_store]
        self._waiting: Waiting | None = None

    async def receive(self, batch: Batch) -> None:
        await self._process(batch if self._waiting is None else self._waiting.take(batch))

    async def advance(self) -> None:
        await self._wake()
        if self._waiting is not None:
            await self._process(self._waiting.overdue())

    async def end_of_input(self) -> None:
        await self._wake()
        if self._waiting is not None:
            await self._process(self._waiting.rest())
        if self._coroutine is not None:
            self._ended = True
            await self._run()

    async def close(self) -> None:
        coroutine, self._coroutine = self._coroutine, None
        if coroutine is not None:
            with suppress(_Closed):
                await _resume(coroutine, _Closed())

    async def has_next(self) -> bool:
        """Whether there is a next row. Suspends the agent until there is a batch that has one, or until the input
        ended."""
        while self.row + 1 >= len(self.batch):
            if self._ended:
                return False
            await _next_batch()
        return True

    def begin_taking(self, most: int, within_ms: int) -> None:
        """What was not taken yet, and every batch from now on, is taken by lists."""
        if self._waiting is not None:
            self._waiting.most, self._waiting.within_ms = most, within_ms
            return
        if self._take_store is None:
            raise TopologyError(
                f"agent {self._name!r} cannot take lists: its code does not show take(), or the type of its values "
                "cannot be seen; give it the lists, as in @app.agent(app.stream(topic).take(100, within=10))"
            )
        if self._yielded:
            raise TopologyError(f"agent {self._name!r} took single events before: take lists from the first event on")
        self._waiting = Waiting(self._context, self._take_store, most, within_ms)
        self.batch, self.row = self._waiting.take(self.batch.slice(self.row + 1, len(self.batch))), -1

    async def _process(self, batch: Batch) -> None:
        if batch.values:
            self.batch, self.row = batch, -1
            self._failed_row = -1
            await self._run()

    async def _wake(self) -> None:
        """Begins the agent before its first event if events wait since before a restart, so that it says for what."""
        store = self._take_store
        if store is not None and self._coroutine is None and self._waiting is None and any(store.range()):
            await self._run()

    async def _run(self) -> None:
        """Takes the agent through the current batch and hands its results on."""
        context = self._context
        outer, context.cursor = context.cursor, self
        try:
            await self._resume_until_used_up()
        finally:
            context.cursor = outer
            context.journal.clear()
        values, rows = self._yielded, self._yielded_rows
        if values:
            self._yielded, self._yielded_rows = [], []
            if rows[0] < 0:  # Yielded before the first event was taken: with that event's key and time.
                rows = [max(row, 0) for row in rows]
            await self.forward(self.batch.rows(rows, values))

    async def _resume_until_used_up(self) -> None:
        """Resumes the agent until it asks for more than the batch; begins it anew when it returned or raised before."""
        while True:
            before = self.row
            coroutine, self._coroutine = self._coroutine or self._start(), None
            try:
                if await _resume(coroutine):
                    self._coroutine = coroutine
                    return
                if self.row == before and not self._ended:
                    raise TopologyError(f"agent {self._name!r} returned without reading its stream")
            except Exception as error:
                await self._failed(error, before)
            if self._ended or self.row + 1 >= len(self.batch):
                return

    async def _failed(self, error: Exception, before: int) -> None:
        """Takes the failed event back, and either goes back to it or rejects it."""
        if not self.batch.values:
            raise error  # There is no event to reject for it.
        context = self._context
        # An agent that raised before it took an event failed on the one it would have taken.
        row = self.row = min(max(self.row, before + 1), len(self.batch) - 1)
        context.take_back(row)
        while self._yielded_rows and self._yielded_rows[-1] == row:
            self._yielded_rows.pop()
            self._yielded.pop()
        self._failures = self._failures + 1 if row == self._failed_row else 1
        self._failed_row = row
        if self._failures <= context.policy.retries and not self._ended:
            context.counts.retried += 1
            await context.sleep(context.policy.backoff_before(self._failures))
            self.row -= 1
        else:
            context.reject(self._name, error, self.batch, row)

    async def _start(self) -> None:
        """The agent's coroutine: ends when the function returns."""
        running = self._function(self._stream)
        if not isinstance(running, AsyncIterator):
            await running
            return
        async for value in running:
            self._yielded.append(value)
            self._yielded_rows.append(self.row)


@types.coroutine
def _next_batch() -> Generator[Any, None, None]:
    yield _NEXT_BATCH


@types.coroutine
def _resume(coroutine: Any, error: BaseException | None = None) -> Generator[Any, Any, bool]:
    """Resumes a coroutine, with an error if one is given, until it asks for a batch (True) or returns (False).

    Whatever else it awaits goes to the event loop, and the loop's answers and cancellations come back to it.
    """
    answer: Any = None
    while True:
        try:
            awaited = coroutine.send(answer) if error is None else coroutine.throw(error)
        except StopIteration:
            return False
        if awaited is _NEXT_BATCH:
            return True
        try:
            answer, error = (yield awaited), None
        except BaseException as raised:
            error = raised
