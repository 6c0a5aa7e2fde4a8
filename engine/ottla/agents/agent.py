"""Agents: a user's function over a stream, as it is declared and as others send to it.

What becomes of it in a task is in `processor.py` and `instance.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, get_args, overload

from ottla.agents.asking import Asking, reply_headers
from ottla.agents.channels import Channel, ChannelAgent
from ottla.agents.function import check_function, check_kind
from ottla.agents.processor import AgentProcessor, Check, FunctionProcessor, WholeBatches
from ottla.deadletters import StepPolicy
from ottla.errors import TopologyError
from ottla.event import Event, Taken
from ottla.hints import element_type, returned_type, value_codec
from ottla.naming import name_of
from ottla.serdes import Codec, codec_for
from ottla.stream import Stream
from ottla.tables import Table
from ottla.task.processor import Processor, TaskContext, current
from ottla.task.take import take_spec
from ottla.topic import Topic
from ottla.topology.discovery import names_in
from ottla.topology.graph import Graph
from ottla.transport.contract import Headers

V = TypeVar("V")
R = TypeVar("R")


class Agent(Asking[V, R]):
    """A user's function over a stream of `V`, whose results are a stream of `R`. Made by `@app.agent`."""

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        stream: Stream[R],
        topic: Topic[Any, V] | None,
        answer_codec: Codec[Any],
    ) -> None:
        self.name = name
        self.function = function
        self.stream = stream
        self.topic = topic
        self.answer_codec = answer_codec
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"<agent {self.name}>"

    def inbox(self, doing: str) -> Topic[Any, V]:
        """The topic the agent reads. Raises `TopologyError`, naming what was tried, if it reads none."""
        if self.topic is None:
            raise TopologyError(f"agent {self.name!r} reads no topic but another stream, so nothing can be {doing} it")
        return self.topic

    async def send(
        self,
        *,
        key: Any = None,
        value: V | None = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
        reply_to: Topic[Any, R] | Agent[R, Any] | str | None = None,
    ) -> None:
        """Sends an event to the agent's topic, as `Topic.send` does. What the agent yields for it first goes to
        `reply_to`, under the same key, if that is given."""
        if reply_to is not None:
            headers = [*(headers or ()), *reply_headers(self.name, reply_to)]
        await self.inbox("sent to").send(
            key=key, value=value, timestamp=timestamp, headers=headers, partition=partition
        )

    async def cast(
        self,
        value: V | None = None,
        *,
        key: Any = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> None:
        """Sends an event to the agent's topic, and expects no answer."""
        await self.send(key=key, value=value, timestamp=timestamp, headers=headers, partition=partition)


class AgentDecorator(Generic[V]):
    """What `app.agent(...)` returns: makes an `Agent` of the function below it."""

    def __init__(
        self,
        graph: Graph,
        source: Stream[V],
        topic: Topic[Any, V] | None,
        *,
        name: str | None = None,
        uses: Sequence[Table[Any, Any]] = (),
        sink: Sequence[Any] = (),
        batch: bool = False,
        concurrency: int = 1,
        errors: StepPolicy | None = None,
        results: Codec[Any] | None = None,
    ) -> None:
        self._graph = graph
        self._source = source
        self._topic = topic
        self._name = name
        self._uses = uses
        self._sink = sink
        self._batch = batch
        self._concurrency = concurrency
        self._errors = errors
        self._results = results

    @overload
    def __call__(self, function: Callable[[Stream[V]], AsyncIterator[R]]) -> Agent[V, R]: ...
    @overload
    def __call__(self, function: Callable[[Stream[V]], Awaitable[None]]) -> Agent[V, None]: ...
    @overload
    def __call__(self, function: Callable[[V], Iterator[R]]) -> Agent[V, R]: ...
    @overload
    def __call__(self, function: Callable[[V], R | None]) -> Agent[V, R]: ...
    @overload
    def __call__(self, function: Callable[[Taken[V]], list[R] | list[R | None] | None]) -> Agent[V, R]: ...
    def __call__(self, function: Callable[..., Any]) -> Agent[V, Any]:
        name = name_of("an agent", function, self._name)
        written = inspect.unwrap(function)
        over_stream = inspect.isasyncgenfunction(written) or inspect.iscoroutinefunction(written)
        check_function(name, function)
        values = self._source.value_codec
        check_kind(name, written, over_stream=over_stream, values=Any if values is None else values.type)
        self._check(name, over_stream)
        graph, source, whole = self._graph, self._source, self._batch
        result = None if self._results is not None else _result_type(function, over_stream=over_stream, whole=whole)
        answers = self._results or codec_for(Any if result is None else result)
        takes = (
            over_stream
            and values is not None
            and not whole
            and not names_in(written).isdisjoint({"take", "take_events", "take_with_timestamp"})
        )
        take_store = f"{name}-take" if takes else None

        if self._topic is not None:
            graph.answer()

        def agent(context: TaskContext, step: str, check: Check | None = None) -> Processor:
            topics = graph.answer_topics
            if not over_stream:
                yields = inspect.isgeneratorfunction(function)
                return FunctionProcessor(
                    context, step, function, yields=yields, codec=answers, topics=topics, check=check, each=whole
                )
            return AgentProcessor(
                context,
                step,
                function,
                source,
                codec=answers,
                topics=topics,
                take_store=take_store,
                concurrency=self._concurrency,
                check=check,
                each=whole,
            )

        def build(context: TaskContext, step: str) -> Processor:
            return WholeBatches(context, lambda check: agent(context, step, check)) if whole else agent(context, step)

        graph.add(
            name,
            "agent",
            build,
            parents=(source.step,),
            stores=()
            if take_store is None or values is None
            else (take_spec(graph.app_id, take_store, source.key_codec, values),),
            awaited=(function,),
            tables=tuple(self._uses),
            detail="whole batches" if whole else f"{self._concurrency} at once" if self._concurrency > 1 else "",
        )
        if self._errors is not None:
            graph.errors_at(name, self._errors)
        stream: Stream[Any] = Stream(graph, name, source.key_codec, self._results or value_codec(result))
        if not isinstance(self._sink, (list, tuple)):
            raise TopologyError(f"agent {name!r}: sink={self._sink!r} must be a list, as in sink=[topic]")
        for sink in self._sink:
            _sink(stream, name, sink)
        return Agent(name, function, stream, self._topic, answers)

    def _check(self, name: str, over_stream: bool) -> None:
        if self._concurrency < 1:
            raise TopologyError(f"agent {name!r}: concurrency={self._concurrency} must be at least 1")
        if self._concurrency > 1 and not over_stream:
            raise TopologyError(
                f"agent {name!r} is a plain function, which never waits: concurrency= is for async functions"
            )
        if self._concurrency > 1 and self._batch:
            raise TopologyError(f"agent {name!r} has batch=True and takes all there is at once: leave concurrency= out")


def current_event() -> Event[Any] | None:
    """The event that the running code is about, with key, time and headers: the one that an agent is at, or for which
    an operator calls its function (`map`, `filter`, a joiner). None where there is none."""
    context = current.get(None)
    return None if context is None else context.event()


def _sink(stream: Stream[Any], name: str, sink: Any) -> None:
    if isinstance(sink, Topic):
        stream.to(sink)
    elif isinstance(sink, Agent):
        stream.to(sink.inbox("sent to"))
    elif isinstance(sink, (Channel, ChannelAgent)):
        stream.call(lambda event: event.forward(sink), events=True)
    elif callable(sink):
        stream.call(sink)
    else:
        raise TopologyError(f"agent {name!r}: sink {sink!r} must be a topic, an agent or a function")


def _result_type(function: Callable[..., Any], *, over_stream: bool, whole: bool) -> Any:
    """The type of one result, as far as the annotations say; None if they do not."""
    if over_stream or inspect.isgeneratorfunction(function):
        result = element_type(function)
    else:
        result = _without_none(returned_type(function))
    if whole and result is not None:
        result = _without_none(next(iter(get_args(result)), None))
    return result


def _without_none(type_: Any) -> Any:
    """`Report` for `Report | None`."""
    given = get_args(type_)
    if type(None) not in given:
        return None if type_ is type(None) else type_
    rest = [each for each in given if each is not type(None)]
    return rest[0] if len(rest) == 1 else None
