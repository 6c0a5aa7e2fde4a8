"""Several streams into one aggregate per key (KIP-150): each stream has a function that puts its values in.

    profiles = orders.cogroup(add_order).cogroup(visits, add_visit).aggregate("profiles", initial=Profile)

The values meet in one step, marked with the stream they are of, and are aggregated as those of one stream are: in a
table, or by windows of any kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from ottla.aggregations import Aggregation, Compiled, compile_aggregations, reduce
from ottla.errors import TopologyError
from ottla.hints import returned_type
from ottla.state.logged import Changelog
from ottla.tables.aggregated import AggregatedTable, keep_aggregates
from ottla.task.batch import Batch
from ottla.task.processor import Processor
from ottla.time import Duration
from ottla.windows.definitions import AnyWindow, Emit, SlidingWindow
from ottla.windows.stream import aggregate_windows

if TYPE_CHECKING:
    from ottla.stream import Stream
    from ottla.windows.result_stream import WindowResults

A = TypeVar("A")
V = TypeVar("V")


class _Part(NamedTuple):
    """A value with the number of the stream that it is of."""

    number: int
    value: Any


class _Mark(Processor):
    """Marks the values of one stream. A null value stays one where `keeps_null` is not set."""

    def __init__(self, number: int, *, keeps_null: bool) -> None:
        super().__init__()
        self._number = number
        self._keeps_null = keeps_null

    async def receive(self, batch: Batch) -> None:
        number, keeps_null = self._number, self._keeps_null
        await self.forward(
            batch.with_values(
                [_Part(number, value) if keeps_null or value is not None else None for value in batch.values]
            )
        )


class Cogrouped(Generic[A]):
    """Streams that go into one aggregate `A` per key, each by a function. Made by `Stream.cogroup`."""

    def __init__(self, *parts: tuple[Stream[Any], Callable[[Any, Any], Any]]) -> None:
        self._parts = parts

    @property
    def first(self) -> Stream[Any]:
        """The stream that it began with: its graph and keys are those of all."""
        return self._parts[0][0]

    def __repr__(self) -> str:
        return f"<cogroup of {', '.join(stream.step for stream, _ in self._parts)}>"

    def cogroup(self, other: Stream[V], function: Callable[[Any, V], Any]) -> Cogrouped[A]:
        """One more stream, whose values go in by `function(so_far, value)`. Its keys are of the same type."""
        self.first.check_meets(other, "cogroup")
        return Cogrouped(*self._parts, (other, function))

    def window(self, window: AnyWindow) -> WindowedCogroup[A]:
        """The events of all the streams by window."""
        return WindowedCogroup(self, window)

    def aggregate(
        self,
        name: str,
        *,
        initial: Any,
        type: Any = None,  # noqa: A002 - as in reduce
        changelog: Changelog = True,
    ) -> AggregatedTable[Any, Any]:
        """A table of one aggregate per key, which begins with `initial`, or what that returns if it is callable.

        Each event of any of the streams changes it, and the result is as that of `Stream.aggregate`. `type` is what a
        restart decodes aggregates as; without it, that which the functions are annotated to return or `initial` has.
        `changelog` is as for `App.Table`.
        """
        return keep_aggregates(
            self.first.graph,
            self.marked(name, keeps_null=False),
            name,
            self.first.key_codec,
            self.compiled(name, initial, type),
            definition=self.definition,
            functions=self.functions(initial),
            of_changes=False,
            changelog=changelog,
        )

    @property
    def definition(self) -> str:
        """What the state means, as text that stays the same as long as it does."""
        return f"cogroup of {len(self._parts)} streams"

    def functions(self, *others: Any) -> list[Callable[..., Any]]:
        """The user's functions: those of the streams, and the others that are some."""
        return [*(function for _, function in self._parts), *(each for each in others if callable(each))]

    def marked(self, name: str, *, keeps_null: bool) -> tuple[str, ...]:
        """Adds a step for each stream that marks its values, and returns their names."""
        graph, steps = self.first.graph, []
        for number, (stream, _) in enumerate(self._parts):
            step = graph.unique(f"{name}.of.{stream.step.removeprefix('topic.')}")
            graph.add(step, "cogroup", _marking(number, keeps_null), parents=(stream.step,))
            steps.append(step)
        return tuple(steps)

    def compiled(self, name: str, initial: Any, type_: Any, merge: Callable[[Any, Any], Any] | None = None) -> Compiled:
        """The functions that aggregate marked values. Raises `TopologyError` if nothing says the aggregates' type."""
        functions = [function for _, function in self._parts]
        known = [type_, *map(returned_type, functions), initial if isinstance(initial, type) else None]
        if not callable(initial):
            known.append(initial.__class__)
        resolved = next((each for each in known if each is not None), None)
        if resolved is None:
            raise TopologyError(
                f"aggregate({name!r}) cannot see the type of its aggregates: annotate what the functions return, or "
                "give type="
            )
        folded = reduce(lambda so_far, part: functions[part.number](so_far, part.value), initial, type=resolved)
        if merge is not None:
            folded = replace(folded, merge=("{merger}({0}, {other0})",), merger=merge)
        aggregations: dict[str, Aggregation] = {"aggregate": folded}
        return replace(compile_aggregations(name, aggregations), result=itemgetter(1), result_type=resolved)


class WindowedCogroup(Generic[A]):
    """Several streams by window. Made by `Cogrouped.window`."""

    def __init__(self, cogrouped: Cogrouped[A], window: AnyWindow) -> None:
        self._cogrouped = cogrouped
        self._window = window

    def aggregate(
        self,
        name: str,
        *,
        initial: Any,
        merge: Callable[[Any, Any], Any] | None = None,
        emit: Emit | Duration = "close",
        type: Any = None,  # noqa: A002 - as in reduce
        changelog: Changelog = True,
    ) -> WindowResults[Any, Any]:
        """One aggregate per key and window, handed on as `WindowedStream.aggregate` does. Stream time is that of all
        the streams together.

        `initial` and `type` are as in `Cogrouped.aggregate`. Sessions need `merge(earlier, later)`, which makes one
        aggregate of those of two sessions that become one.
        """
        cogrouped, window = self._cogrouped, self._window
        # As in Kafka Streams, sliding windows drop null values, and the others aggregate them.
        keeps_null = not isinstance(window, SlidingWindow)
        return aggregate_windows(
            cogrouped.first,
            cogrouped.marked(name, keeps_null=keeps_null),
            window,
            name,
            emit,
            cogrouped.compiled(name, initial, type, merge),
            definition=cogrouped.definition,
            functions=cogrouped.functions(initial, merge),
            changelog=changelog,
        )


def _marking(number: int, keeps_null: bool) -> Callable[[Any, str], Processor]:
    return lambda _, __: _Mark(number, keeps_null=keeps_null)
