"""Streams as users write them: `app.stream(topic).filter(...).window(...).aggregate(...).join(...).to(topic)`.

A `Stream` is a place in the graph. Each operator adds a step and returns the stream behind it; nothing runs yet.
The stream that an agent is given is the same type, bound to a running task: it is iterated (`agents/instance.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar, overload

from ottla.aggregations import Aggregation
from ottla.cogroup import Cogrouped
from ottla.deadletters import OnError, StepPolicy
from ottla.errors import TopologyError
from ottla.event import Event, Taken, event_at
from ottla.hints import Selector, check_hashable, element_type, returned_type, selected, selected_type, value_codec
from ottla.joins.joining import Joining, check_other
from ottla.relations import View
from ottla.serdes import Codec, codec_for, state_key_codec_for
from ottla.state.logged import Changelog, Configured
from ottla.tables import AggregatedTable, Table, aggregated_table
from ottla.task.operators import Branch, Filter, FlatMap, Handle, KeyBy, Map, Pass, Sink, value_at
from ottla.task.routing import ChoosePartition, ChooseTopic, RoutedSink
from ottla.task.take import Take, checked_take, take_spec
from ottla.time import Duration
from ottla.topic import Topic, repartition_topic
from ottla.topology.graph import Graph
from ottla.windows.definitions import AnyWindow
from ottla.windows.stream import WindowedStream

V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
R = TypeVar("R")
T = TypeVar("T")


class Stream(Joining[V]):
    """Events of value `V`. Made by `App.stream`, by operators, and for each run of an agent.

    `value_codec` is how internal topics and stores write the values. It is None where nothing says their type: behind
    a function without a return annotation and without `type=`. Only what has to write them asks for it. Equal keys of
    one that is `scattered` are not in one partition.
    """

    def __init__(
        self,
        graph: Graph,
        step: str,
        key_codec: Codec[Any],
        value_codec: Codec[Any] | None = None,
        *,
        scattered: bool = False,
    ) -> None:
        self.scattered = scattered
        self.graph = graph
        self.step = step
        self.key_codec = key_codec
        self.value_codec = value_codec

    def __repr__(self) -> str:
        return f"<stream {self.step}>"

    def filter(self, function: Callable[[V], object]) -> Stream[V]:
        """The events for whose value the function is true."""
        return self._then("filter", lambda context, name: Filter(context, name, function), function, self.value_codec)

    def map(self, function: Callable[[V], R], *, type: Any = None) -> Stream[R]:  # noqa: A002 - as in reduce
        """The function's value in the place of each event's; key, time and headers stay.

        `type` is the type of the values, if the function is not annotated and a step behind this one must write them.
        """
        values = value_codec(type if type is not None else returned_type(function))
        return self._then("map", lambda context, name: Map(context, name, function), function, values)

    def flat_map(self, function: Callable[[V], Iterable[R]], *, type: Any = None) -> Stream[R]:  # noqa: A002
        """Each of the function's values as an event, with the key, time and headers of the one it was made from.

        `type` is as for `map`, that of one value.
        """
        values = value_codec(type if type is not None else element_type(function))
        return self._then("flat_map", lambda context, name: FlatMap(context, name, function), function, values)

    def peek(self, function: Callable[[Any], Awaitable[object] | object], *, events: bool = False) -> Stream[V]:
        """The same events, after a function, async or not, was called with each: as `call`, and they go on."""
        return self.behind(self._called("peek", function, events), self.value_codec)

    def select_key(self, key: Selector, *, type: Any = None) -> Stream[V]:  # noqa: A002 - as in group_by
        """The events under another key where they are, a field of the value or a function of it: for what is written.

        Equal keys are not in one partition any more, so steps that need them there refuse the stream: `group_by` sends
        events to the partitions of their new keys, and so does `repartition` behind this. `type` is the key's, where
        neither the field nor the function is annotated.
        """
        function = selected(key, self.value_codec)
        found = type if type is not None else selected_type(key, self.value_codec)
        step = self._then("select_key", lambda context, name: KeyBy(context, name, function), function, None).step
        return Stream(self.graph, step, state_key_codec_for(found, step), self.value_codec, scattered=True)

    def repartition(
        self, *, name: str | None = None, partitions: int | None = None, partition: ChoosePartition | None = None
    ) -> Stream[V]:
        """The events in the partitions of their keys, through the topic `APP-NAME-repartition`.

        It has as many partitions as there are tasks that write it, or `partitions`. `partition` chooses otherwise than
        by the key, as in `to`. `name` is this stream's where it is not given.
        """
        label = name or self.step.removeprefix("topic.")
        topic = repartition_topic(
            self.graph.app_id, label, self.key_codec, self.known_values(f"repartition({label!r})"), partitions
        )
        return self.through(topic, partition=partition)

    def group_by(
        self,
        key: Selector,
        *,
        name: str | None = None,
        type: Any = None,  # noqa: A002 - the word users know from topics and tables
        partitions: int | None = None,
    ) -> Stream[V]:
        """The events under another key: a field of the value or a function of it, in the partition of that key.

        They go through the topic `APP-NAME-repartition`, which the app creates with as many partitions as it has tasks
        that write it, or `partitions`. `name` is made of this stream's and the field's or function's name. `type` is
        the key's, where neither the field nor the function is annotated.
        """
        label = key if isinstance(key, str) else getattr(key, "__name__", "")
        if name is None and not label.isidentifier():
            raise TopologyError(f"group_by on {self!r} needs a name for its topic: name=")
        step = name or self.graph.unique(f"{self.step.removeprefix('topic.')}-by-{label}")
        function = selected(key, self.value_codec)
        key_type = type if type is not None else selected_type(key, self.value_codec)
        values = self.known_values(f"group_by({label or step!r})")
        topic = repartition_topic(self.graph.app_id, step, key_type, values, partitions)
        self.graph.add(
            step,
            "group_by",
            lambda context, name: KeyBy(context, name, function),
            parents=(self.step,),
            functions=(function,),
        )
        return Stream(self.graph, step, topic.key_codec, self.value_codec).through(topic)

    def aggregate(
        self, name: str, *, changelog: Changelog = True, **aggregations: Aggregation
    ) -> AggregatedTable[Any, Any]:
        """Aggregates all events of a key, without a window: `aggregate("totals", orders=count(), sum=sum("amount"))`.

        The result is a table, whose values have a field per aggregation. Every event changes it, and is emitted by its
        `to_stream()`, at the newest time of the key's events. An event without a key or a value is dropped. It can be
        read in agents, joined, filtered and queried. `name` names it, its state and its changelog; `changelog` is as
        for `App.Table`.
        """
        self.check_placed(f"aggregate({name!r})")
        return aggregated_table(
            self.graph,
            self.step,
            name,
            self.key_codec,
            self.value_codec,
            aggregations,
            of_changes=False,
            changelog=changelog,
        )

    def cogroup(self, function: Callable[[Any, V], Any]) -> Cogrouped[Any]:
        """Aggregates this stream and others into one value per key: `orders.cogroup(add_order).cogroup(visits,
        add_visit).aggregate("profiles", initial=Profile)`, or by windows with `.window(...)` before `aggregate`.

        Each stream has a function `(so_far, value)` that returns the next aggregate: a new object, what it is given
        stays as it is.
        """
        self.check_placed("cogroup")
        return Cogrouped((self, function))

    def merge(self, *others: Stream[V]) -> Stream[V]:
        """The events of this stream and the others as one. All have keys of one type."""
        for other in others:
            check_other("merge", other)
            self.check_keys(other, "merge")
        names = {None if each.value_codec is None else each.value_codec.name for each in (self, *others)}
        parents = (self.step, *(other.step for other in others))
        step = self.graph.unique(f"{self.step}.merge")
        self.graph.add(step, "merge", lambda _, __: Pass(), parents=parents)
        scattered = any(each.scattered for each in (self, *others))
        values = self.value_codec if len(names) == 1 else None
        return Stream(self.graph, step, self.key_codec, values, scattered=scattered)

    def branch(self, **predicates: Callable[[V], object]) -> dict[str, Stream[V]]:
        """One stream per predicate: each event goes to the first whose predicate is true for its value.

        The streams have the predicates' names; the events that no predicate takes are in the stream "rest".
        """
        if not predicates or "rest" in predicates:
            raise TopologyError('branch() takes predicates by name, any but "rest", which gets what they leave')
        functions = tuple(predicates.values())
        step = self.graph.unique(f"{self.step}.branch")
        self.graph.add(
            step,
            "branch",
            lambda context, name: Branch(context, name, functions),
            parents=(self.step,),
            functions=functions,
        )
        branches = {}
        for name in (*predicates, "rest"):
            self.graph.add(f"{step}.{name}", "branched", lambda _, __: Pass(), parents=(step,))
            branches[name] = self.behind(f"{step}.{name}", self.value_codec)
        return branches

    def take(self, most: int, within: Duration, *, name: str | None = None) -> Stream[Taken[V]]:
        """Lists of events: up to `most` at once, or what came within that time of the first, by the wall clock.

        A list has the values; its `events` have keys, times and headers too. It is an event itself, with the key, time
        and headers of its last. What waits is state, under `name` or one made of this stream's. Can also be used inside
        an agent: `async for values in stream.take(100, within=10)`.
        """
        most, within_ms = checked_take(most, within)
        step = name or self.graph.unique(f"{self.step.removeprefix('topic.')}-take")
        self.graph.add(
            step,
            "take",
            lambda context, store: Take(context, store, most, within_ms),
            parents=(self.step,),
            stores=(take_spec(self.graph.app_id, step, self.key_codec, self.known_values("take()")),),
            detail=f"{most} within {within_ms} ms",
        )
        return Stream(self.graph, step, self.key_codec)

    def window(self, window: AnyWindow) -> WindowedStream[V]:
        """The events by window, to be aggregated per key."""
        self.check_placed("window")
        return WindowedStream(self, window)

    def on_error(self, on_error: OnError) -> Stream[V]:
        """What becomes of the events that the step before fails on: "dead_letter", "skip", "fail", or a function of the
        `Failure` that returns one of them. Other steps keep what the app says.

        Behind `app.stream(topic)` it is about the topic's events that cannot be decoded. Agents have `on_error=`.
        """
        self.graph.errors_at(self.step, StepPolicy(on_error))
        return self

    @overload
    def to(
        self,
        topic: Topic[Any, V] | ChooseTopic,
        *,
        partition: ChoosePartition | None = None,
        on_error: OnError | None = None,
    ) -> None: ...
    @overload
    def to(
        self: Stream[R | None],
        topic: Topic[Any, R] | ChooseTopic,
        *,
        partition: ChoosePartition | None = None,
        on_error: OnError | None = None,
    ) -> None: ...
    def to(
        self,
        topic: Topic[Any, Any] | ChooseTopic,
        *,
        partition: ChoosePartition | None = None,
        on_error: OnError | None = None,
    ) -> None:
        """Writes the events to a topic, with their keys, times and headers.

        Instead of a topic it can be a function that chooses one for each `Event`: a topic, or the name of one, to which
        keys and values are written as the app declares it, or else as they are in this stream. `partition` is a
        function of the key, the value and the topic's number of partitions, which returns the partition, or several, or
        None to leave it to the key.

        `on_error` is about those that cannot be written, because they cannot be encoded, are too large, or because
        there is no such topic or partition.
        """
        if not isinstance(topic, Topic) and not callable(topic):
            raise TopologyError(f"to() takes a topic as app.topic() declares it, or a function, not {topic!r}")
        chosen = topic if isinstance(topic, Topic) else None
        label = chosen.name if chosen is not None else getattr(topic, "__name__", "function").strip("<>")
        step = self.graph.unique(f"{self.step}.to.{label}")
        if on_error is not None:
            self.graph.errors_at(step, StepPolicy(on_error))
        functions = [each for each in (topic, partition) if callable(each)]
        self.graph.add(
            step,
            "sink",
            lambda context, name: (
                Sink(context, name, chosen)
                if chosen is not None and partition is None
                else RoutedSink(context, name, topic, partition, self._named)
            ),
            parents=(self.step,),
            functions=functions,
            sink=chosen,
            detail="" if chosen is not None else label,
        )

    def call(self, function: Callable[[Any], Awaitable[object] | object], *, events: bool = False) -> None:
        """Calls a function, async or not, with each value, or `Event`, in order. What it sends joins the event's
        commit."""
        self._called("call", function, events)

    @overload
    def to_table(self: Stream[R | None], name: str, *, changelog: Configured = True) -> Table[Any, R]: ...
    @overload
    def to_table(self, name: str, *, changelog: Configured = True) -> Table[Any, V]: ...
    def to_table(self, name: str, *, changelog: Configured = True) -> Table[Any, Any]:
        """A table of the newest value of each key, a null value deletes it. It is kept under the name.

        For queries, and to be joined: with streams, and as what changes with other tables. It can be read in agents and
        not written. `changelog` are configs of its changelog, as for `App.Table`.
        """
        self.check_placed(f"to_table({name!r})")
        values = self.known_values(f"to_table({name!r})")
        table = self.graph.derived_table(name, self.key_codec, values, changelog)
        self.graph.keep(table, self.step)
        return table

    def echo(self, *topics: Topic[Any, V]) -> Stream[V]:
        """Writes the events to the topics too, and goes on with them."""
        for topic in topics:
            self.to(topic)
        return self

    def through(self, topic: Topic[Any, V], *, partition: ChoosePartition | None = None) -> Stream[V]:
        """Writes the events to a topic and reads them back from it, so that another task, chosen by key, goes on.

        `partition` chooses it otherwise, as in `to`.
        """
        self.to(topic, partition=partition)
        return Stream(self.graph, self.graph.source(topic), topic.key_codec, topic.value_codec.kept)

    def __aiter__(self) -> AsyncIterator[V]:
        """In an agent: the values, one after another. An event is done when the next one is asked for."""
        raise self._not_running()

    def items(self) -> AsyncIterator[tuple[Any, V]]:
        """In an agent: keys and values."""
        raise self._not_running()

    def events(self) -> AsyncIterator[Event[V]]:
        """In an agent: values with key, time, headers and origin."""
        raise self._not_running()

    def enumerate(self, start: int = 0) -> AsyncIterator[tuple[int, V]]:  # noqa: ARG002 - agents' streams use it
        """In an agent: values with their number since the agent began, which it does anew after a failure."""
        raise self._not_running()

    def behind(self, step: str, values: Codec[Any] | None) -> Stream[Any]:
        """The stream behind a step that was added to this one, under the same keys."""
        return Stream(self.graph, step, self.key_codec, values, scattered=self.scattered)

    def known_values(self, what: str) -> Codec[Any]:
        """How to write the values. Raises `TopologyError`, naming what must write them, if their type is unknown."""
        if self.value_codec is None:
            raise TopologyError(
                f"{what} must write the values of {self!r} and cannot see their type: annotate what the function "
                "that makes them returns, or name it, as in .map(function, type=Report)"
            )
        return self.value_codec

    def check_placed(self, what: str) -> None:
        """Raises `TopologyError`, naming what needs it, if equal keys are not in one partition."""
        if self.scattered:
            raise TopologyError(
                f"{what}: the keys of {self!r} were changed where the events are, so equal ones are not in one "
                "partition: use .group_by(...) in the place of select_key, or .repartition() behind it"
            )

    def check_meets(self, other: Stream[Any] | Table[Any, Any] | View[Any, Any], how: str) -> None:
        """Raises `TopologyError` if equal keys of this stream and the other would not meet in one task."""
        self.check_placed(how)
        check_hashable(f"{how} on {self!r}", self.key_codec)
        if isinstance(other, Stream):
            other.check_placed(how)
        self.check_keys(other, how)

    def check_keys(self, other: Stream[Any] | Table[Any, Any] | View[Any, Any], how: str) -> None:
        """Raises `TopologyError` if equal keys of this stream and the other would not be equal bytes."""
        keys = other.key_codec if isinstance(other, Stream) else other.change_keys
        if isinstance(other, Stream) and other.graph is not self.graph:
            raise TopologyError(f"{how}: {self!r} and {other!r} belong to two apps")
        if keys.name != self.key_codec.name:
            raise TopologyError(
                f"{how}: {self!r} has keys of {self.key_codec.name} and {other!r} of {keys.name}: equal keys would "
                "not be equal bytes, and not in one partition; declare one type for both"
            )

    def _named(self, topic: str) -> Topic[Any, Any]:
        """The topic of that name as the app declares it, or else one of this stream's keys and values."""
        declared = self.graph.known_topic(topic)
        return declared or Topic(topic, self.key_codec, self.value_codec or codec_for(Any, topic, "value"))

    def _not_running(self) -> TopologyError:
        return TopologyError(
            f"{self!r} is a step of the topology; only the stream that an agent is given can be iterated"
        )

    def _then(
        self,
        kind: str,
        build: Callable[..., Any],
        function: Callable[..., Any],
        values: Codec[Any] | None,
    ) -> Stream[Any]:
        name = self.graph.unique(f"{self.step}.{kind}")
        self.graph.add(name, kind, build, parents=(self.step,), functions=(function,))
        return self.behind(name, values)

    def _called(self, kind: str, function: Callable[[Any], Awaitable[object] | object], events: bool) -> str:
        """Adds a step that calls a function, and returns its name."""
        name = self.graph.unique(f"{self.step}.{kind}.{getattr(function, '__name__', 'function')}")
        self.graph.add(
            name,
            kind,
            lambda context, own: Handle(context, own, function, event_at if events else value_at),
            parents=(self.step,),
            awaited=(function,),
        )
        return name
