"""A stream by windows, as users write it: what can be computed in each window."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ottla.aggregations import Aggregation, Compiled, compile_aggregations, describe_aggregations
from ottla.errors import TopologyError
from ottla.event import Event
from ottla.hints import check_hashable
from ottla.serdes import Codec, state_codec_for
from ottla.state.format import format_of
from ottla.state.logged import Changelog, checked_changelog, logged_as
from ottla.state.store import StoreSpec
from ottla.task.operators import Handle, Sink
from ottla.task.processor import Processor, TaskContext
from ottla.time import Duration, duration_ms
from ottla.topic import Topic
from ottla.windows.count_windows import CountingAggregation, counting_spec
from ottla.windows.definitions import AnyWindow, CountWindow, Emit, SessionWindow, SlidingWindow, Windowed
from ottla.windows.fixed_windows import FixedAggregation, fixed_spec
from ottla.windows.limited import told_every
from ottla.windows.processor import Aggregate
from ottla.windows.session_windows import SessionAggregation, session_spec
from ottla.windows.sliding_windows import SlidingAggregation, sliding_spec

if TYPE_CHECKING:
    from ottla.stream import Stream
    from ottla.windows.result_stream import WindowResults

V = TypeVar("V")

Late = Topic[Any, V] | Callable[[Event[V]], Awaitable[None] | None]
"""Where late events go: a topic, or a function that is called with each."""


class WindowedStream(Generic[V]):
    """Events by window. Made by `Stream.window`."""

    def __init__(self, stream: Stream[V], window: AnyWindow) -> None:
        if not isinstance(window, AnyWindow):
            raise TopologyError(f"window() takes a window, as ottla.tumbling(hours=1) is one, not {window!r}")
        self._stream = stream
        self._window = window

    def aggregate(
        self,
        name: str,
        *,
        emit: Emit | Duration = "close",
        late: Late[V] | None = None,
        changelog: Changelog = True,
        **aggregations: Aggregation,
    ) -> WindowResults[Any, Any]:
        """Aggregates per key and window: `aggregate("hourly", flights=count(), worst=maximum("delay"))`.

        Each result is a `Windowed` whose value has a field per aggregation; the event's key stays the key. With
        `emit="close"` there is one result per key and window, when the window closes; with `emit="update"` there is
        one for each event; with a duration the last of those of a key and window is told so much stream time after the
        first, and then the next ones wait. Events that are too late for every window they belong to are counted, and go
        to `late` if it is given: a topic, or a function that is called with the `Event`. `name` names the state and its
        changelog: keep it when the code around it changes. `changelog` is as for `App.Table`.
        """
        return aggregate_windows(
            self._stream,
            (self._stream.step,),
            self._window,
            name,
            emit,
            compile_aggregations(name, aggregations, self._stream.value_codec),
            definition=describe_aggregations(aggregations),
            functions=[function for each in aggregations.values() for function in each.functions],
            late=late,
            changelog=changelog,
        )


def aggregate_windows(
    stream: Stream[Any],
    steps: tuple[str, ...],
    window: AnyWindow,
    name: str,
    emit: Emit | Duration,
    compiled: Compiled,
    *,
    definition: str,
    functions: Sequence[Callable[..., Any]],
    late: Late[Any] | None = None,
    changelog: Changelog,
) -> WindowResults[Any, Any]:
    """Adds the step that aggregates by windows what steps hand on under the stream's keys; `definition` says what is
    computed."""
    from ottla.windows.result_stream import WindowResults  # It is a stream itself.

    every_ms = None if isinstance(emit, str) else duration_ms(emit, f"aggregate({name!r}): emit")
    on: Emit = emit if isinstance(emit, str) else "update"
    if on not in ("close", "update"):
        raise TopologyError(f'aggregate({name!r}): emit={emit!r} is unknown; it is "close", "update" or a duration')
    if isinstance(window, SessionWindow) and compiled.merge is None:
        raise TopologyError(
            f"aggregate({name!r}): two sessions can become one, so what has an initial value needs merge=, a function "
            "of the states of both"
        )
    if isinstance(window, CountWindow) and late is not None:
        raise TopologyError(f"aggregate({name!r}): a counting window has no late events; leave late= out")
    check_hashable(f"aggregate({name!r})", stream.key_codec)
    aggregate = Aggregate(name, compiled, on)
    spec = _spec(window)(stream.graph.app_id, name, stream.key_codec, compiled)
    # What the state means: the window as it lies in time, but for how long it stays open, and what is computed.
    meaning = f"{str(window).partition(' grace ')[0]}, {definition}"
    stored = format_of("aggregate", stream.key_codec, state_codec_for(compiled.state_type), meaning)
    kept = replace(spec, format=stored)
    stream.graph.add(
        name,
        "aggregate",
        lambda context, _: _processor(context, aggregate, window, late),
        parents=steps,
        stores=(logged_as(kept, checked_changelog(f"aggregate({name!r})", changelog)),),
        functions=functions,
        awaited=() if late is None or isinstance(late, Topic) else (late,),
        sink=late if isinstance(late, Topic) else None,
        detail=f"{window}, emit on {on}",
    )
    results: Any = Windowed[stream.key_codec.type, compiled.result_type | None]  # type: ignore[name-defined]
    made = stream.behind(name, state_codec_for(results))
    if every_ms is not None:
        made = told_every(made, name, every_ms)
    return WindowResults(made, window, state_codec_for(compiled.result_type))


def _spec(window: AnyWindow) -> Callable[[str, str, Codec[Any], Compiled], StoreSpec]:
    match window:
        case SlidingWindow():
            return sliding_spec
        case SessionWindow():
            return session_spec
        case CountWindow():
            return counting_spec
    return fixed_spec


def _processor(context: TaskContext, aggregate: Aggregate, window: AnyWindow, late: Late[Any] | None) -> Processor:
    if isinstance(window, CountWindow):
        return CountingAggregation(context, aggregate, window)
    step = f"{aggregate.name}.late"
    handler: Processor | None = None
    if isinstance(late, Topic):
        handler = Sink(context, step, late)
    elif late is not None:
        handler = Handle(context, step, late)
    match window:
        case SlidingWindow():
            return SlidingAggregation(context, aggregate, window, handler)
        case SessionWindow():
            return SessionAggregation(context, aggregate, window, handler)
    return FixedAggregation(context, aggregate, window, handler)
