"""Streams as users write them: `app.stream(topic).filter(...).window(...).aggregate(...).join(...).to(topic)`.

A `Stream` is a place in the graph. Each operator adds a step and returns the stream behind it; nothing runs yet.
The stream that an agent is given is the same type, bound to a running task: it is iterated (`agent.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Generic, TypeVar

import msgspec

from ottla.aggregations import Aggregation, compile_aggregations
from ottla.errors import TopologyError
from ottla.graph import Graph
from ottla.joins.stream_table import StreamTableJoin
from ottla.operators import Filter, FlatMap, Map, Sink
from ottla.serde import Codec
from ottla.tables import Table
from ottla.topic import Topic
from ottla.transport.contract import Headers
from ottla.windows.definitions import Emit, Window, Windowed
from ottla.windows.fixed import WindowedAggregation, window_spec

V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
R = TypeVar("R")
T = TypeVar("T")


class Event(msgspec.Struct, Generic[V], frozen=True):
    """An event with its context, as `stream.events()` gives it. `timestamp` is its event time in milliseconds."""

    key: Any
    value: V
    timestamp: int
    headers: Headers
    topic: str
    partition: int
    offset: int


class Stream(Generic[V]):
    """Events of value `V`. Made by `App.stream`, by operators, and for each run of an agent."""

    def __init__(self, graph: Graph, step: str, key_codec: Codec[Any]) -> None:
        self.graph = graph
        self.step = step
        self.key_codec = key_codec

    def __repr__(self) -> str:
        return f"<stream {self.step}>"

    def filter(self, function: Callable[[V], object]) -> Stream[V]:
        """The events for whose value the function is true."""
        return self._then("filter", lambda context, name: Filter(context, name, function), function)

    def map(self, function: Callable[[V], R]) -> Stream[R]:
        """The function's value in the place of each event's; key, time and headers stay."""
        return self._then("map", lambda context, name: Map(context, name, function), function)

    def flat_map(self, function: Callable[[V], Iterable[R]]) -> Stream[R]:
        """Each of the function's values as an event, with the key, time and headers of the one it was made from."""
        return self._then("flat_map", lambda context, name: FlatMap(context, name, function), function)

    def window(self, window: Window) -> WindowedStream[V]:
        """The events by window, to be aggregated per key."""
        return WindowedStream(self.graph, self.step, self.key_codec, window)

    def join(self, table: Table[Any, T], joiner: Callable[[V, T], R]) -> Stream[R]:
        """`joiner(value, table[key])` for each event whose key the table has."""
        return self._join(table, joiner, left=False)

    def left_join(self, table: Table[Any, T], joiner: Callable[[V, T | None], R]) -> Stream[R]:
        """`joiner(value, table[key])` for each event, with None where the table lacks the key."""
        return self._join(table, joiner, left=True)

    def to(self, topic: Topic[Any, V]) -> None:
        """Writes the events to a topic, with their keys, times and headers."""
        self.graph.add(
            self.graph.unique(f"{self.step}.to.{topic.name}"),
            "sink",
            lambda context, name: Sink(context, name, topic),
            parents=(self.step,),
            sink=topic,
        )

    def through(self, topic: Topic[Any, V]) -> Stream[V]:
        """Writes the events to a topic and reads them back from it, so that another task, chosen by key, goes on."""
        self.to(topic)
        return Stream(self.graph, self.graph.source(topic), topic.key_codec)

    def __aiter__(self) -> AsyncIterator[V]:
        """In an agent: the values, one after another. An event is done when the next one is asked for."""
        raise self._not_running()

    def items(self) -> AsyncIterator[tuple[Any, V]]:
        """In an agent: keys and values."""
        raise self._not_running()

    def events(self) -> AsyncIterator[Event[V]]:
        """In an agent: values with key, time, headers and origin."""
        raise self._not_running()

    def _not_running(self) -> TopologyError:
        return TopologyError(
            f"{self!r} is a step of the topology; only the stream that an agent is given can be iterated"
        )

    def _join(self, table: Table[Any, Any], joiner: Callable[[Any, Any], Any], *, left: bool) -> Stream[Any]:
        return self._then(
            "left_join" if left else "join",
            lambda context, name: StreamTableJoin(context, name, table.name, joiner, left=left),
            joiner,
            named=table.name,
            tables=(table,),
        )

    def _then(
        self,
        kind: str,
        build: Callable[..., Any],
        function: Callable[..., Any],
        *,
        named: str | None = None,
        tables: tuple[Table[Any, Any], ...] = (),
    ) -> Stream[Any]:
        name = self.graph.unique(f"{self.step}.{kind}" if named is None else f"{self.step}.{kind}.{named}")
        self.graph.add(name, kind, build, parents=(self.step,), functions=(function,), tables=tables)
        return Stream(self.graph, name, self.key_codec)


class WindowedStream(Generic[V]):
    """Events by window. Made by `Stream.window`."""

    def __init__(self, graph: Graph, step: str, key_codec: Codec[Any], window: Window) -> None:
        self._graph = graph
        self._step = step
        self._key_codec = key_codec
        self._window = window

    def aggregate(self, name: str, *, emit: Emit = "close", **aggregations: Aggregation) -> Stream[Windowed[Any, Any]]:
        """Aggregates per key and window: `aggregate("hourly", flights=count(), worst=maximum("delay"))`.

        Each result is a `Windowed` whose value has a field per aggregation; the event's key stays the key. With
        `emit="close"` there is one result per key and window, when the window closes; with `emit="update"` there is
        one for each event. `name` names the state and its changelog: keep it when the code around it changes.
        """
        if emit not in ("close", "update"):
            raise TopologyError(f'aggregate({name!r}): emit={emit!r} is unknown; it is "close" or "update"')
        compiled = compile_aggregations(name, aggregations)
        window = self._window
        self._graph.add(
            name,
            "aggregate",
            lambda context, step: WindowedAggregation(context, step, name, window, compiled, emit),
            parents=(self._step,),
            stores=(window_spec(self._graph.app_id, name, self._key_codec, compiled),),
            functions=tuple(
                function
                for each in aggregations.values()
                for function in (each.selector, each.function, each.initial)
                if callable(function)
            ),
            detail=f"{window}, emit on {emit}",
        )
        return Stream(self._graph, name, self._key_codec)
