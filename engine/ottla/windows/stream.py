"""A stream by windows, as users write it: what can be computed in each window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ottla.aggregations import Aggregation, compile_aggregations
from ottla.errors import TopologyError
from ottla.serde import state_codec_for
from ottla.windows.definitions import Emit, Window, Windowed
from ottla.windows.fixed import WindowedAggregation, window_spec

if TYPE_CHECKING:
    from ottla.stream import Stream

V = TypeVar("V")


class WindowedStream(Generic[V]):
    """Events by window. Made by `Stream.window`."""

    def __init__(self, stream: Stream[V], window: Window) -> None:
        self._stream = stream
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
        stream, window = self._stream, self._window
        stream.graph.add(
            name,
            "aggregate",
            lambda context, step: WindowedAggregation(context, step, name, window, compiled, emit),
            parents=(stream.step,),
            stores=(window_spec(stream.graph.app_id, name, stream.key_codec, compiled),),
            functions=tuple(
                function
                for each in aggregations.values()
                for function in (each.selector, each.function, each.initial)
                if callable(function)
            ),
            detail=f"{window}, emit on {emit}",
        )
        results: Any = Windowed[stream.key_codec.type, compiled.result_type]  # type: ignore[name-defined]
        return stream.behind(name, state_codec_for(results))
