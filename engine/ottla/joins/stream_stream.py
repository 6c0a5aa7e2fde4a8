"""Stream-stream joins, record by record as Kafka Streams' `KStreamKStreamJoin`.

Each side keeps its events for the other to find. An event meets those of the other side that are within the window
around it: `before` and `after` say how far the right event may lie before and after the left one. In left and outer
joins an event that met none is emitted when its window is over (KAFKA-10847), or at once where the app says so.

A join is three steps: one for each side, and one where their results become one stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from ottla.errors import ConfigError, TopologyError
from ottla.hints import returned_type, value_codec
from ottla.joins.buffer import JoinBuffer, buffer_spec
from ottla.joins.unmatched import Pending, Side, Unmatched, unmatched_spec
from ottla.task.batch import Batch, Rows
from ottla.task.processor import Processor, TaskContext
from ottla.time import Duration, duration_ms, signed_duration_ms

if TYPE_CHECKING:
    from ottla.stream import Stream

Kind = Literal["inner", "left", "outer"]
When = Literal["close", "at_once"]
Joiner = Callable[[Any, Any], Any]


@dataclass(frozen=True, slots=True)
class JoinWindow:
    """How far the right event may lie before and after the left one, and how much later than that both may come.

    With `idle_ms`, stream time goes on with the wall clock when no event has come for that long.
    """

    before_ms: int
    after_ms: int
    grace_ms: int
    idle_ms: int | None = None

    def __post_init__(self) -> None:
        if self.before_ms + self.after_ms < 0:
            raise ConfigError("a join's window is empty: it begins after its end")

    def __str__(self) -> str:
        before, after, grace = (timedelta(milliseconds=each) for each in (self.before_ms, self.after_ms, self.grace_ms))
        return f"within {before} before and {after} after, grace {grace}"


def join_window(
    within: Duration | None,
    before: Duration | None,
    after: Duration | None,
    grace: Duration,
    idle: Duration | None = None,
) -> JoinWindow:
    """The window of a join's arguments. Raises `ConfigError` if they say nothing or are no durations.

    A negative `before` is one that begins after the left event, a negative `after` one that ends before it.
    """
    if within is None and (before is None or after is None):
        raise ConfigError("a join of streams needs a window: within=, or before= and after=")
    return JoinWindow(
        signed_duration_ms(within if before is None else before, "a join's window"),
        signed_duration_ms(within if after is None else after, "a join's window"),
        duration_ms(grace, "a join's grace"),
        None if idle is None else duration_ms(idle, "a join's idle time"),
    )


def check_no_window(kind: str, *given: object) -> None:
    """Raises `TopologyError` if a join with a table is given what only a join of streams has."""
    if any(each is not None for each in given):
        raise TopologyError(
            f"{kind} with a table has no window: within=, before=, after=, unmatched= and idle= are for two streams; a "
            "versioned table has grace="
        )


@dataclass(frozen=True, slots=True)
class StreamJoin:
    """A join as declared. Its stores have its name, with the side or `unmatched` behind it."""

    name: str
    kind: Kind
    window: JoinWindow
    joiner: Joiner
    waits: bool

    def store(self, of: Side) -> str:
        return f"{self.name}-{of.name.lower()}"

    @property
    def unmatched(self) -> str | None:
        """The store of events that wait for their window to be over, if there are any."""
        return f"{self.name}-unmatched" if self.kind != "inner" and self.waits else None

    def call(self, side: Side, own: Any, other: Any) -> Any:
        """Calls the joiner, with the left value first."""
        return self.joiner(own, other) if side is Side.LEFT else self.joiner(other, own)


def join_streams(
    left: Stream[Any],
    right: Stream[Any],
    joiner: Joiner,
    kind: Kind,
    window: JoinWindow,
    *,
    unmatched: When,
    name: str | None,
    type_: Any,
) -> Stream[Any]:
    """Adds the steps of a join and returns the stream of its results."""
    if unmatched not in ("close", "at_once"):
        raise TopologyError(f'{kind} join: unmatched={unmatched!r} is unknown; it is "close" or "at_once"')
    left.check_meets(right, f"{kind} join")
    graph, key = left.graph, left.key_codec
    left_values, right_values = left.known_values(f"{kind} join"), right.known_values(f"{kind} join")
    label = "join" if kind == "inner" else f"{kind}_join"
    step = name or graph.unique(f"{left.step.removeprefix('topic.')}-{label}-{right.step.removeprefix('topic.')}")
    join = StreamJoin(step, kind, window, joiner, unmatched == "close")
    stores = [
        buffer_spec(graph.app_id, join.store(Side.LEFT), key, left_values, str(window)),
        buffer_spec(graph.app_id, join.store(Side.RIGHT), key, right_values, str(window)),
    ]
    if join.unmatched is not None:
        stores.append(unmatched_spec(graph.app_id, join.unmatched, key, left_values, right_values, str(window)))
    for side, parent in ((Side.LEFT, left), (Side.RIGHT, right)):
        graph.add(
            join.store(side),
            f"{label} side",
            _side_maker(join, side),
            parents=(parent.step,),
            stores=tuple(stores),
            functions=(joiner,),
            owner=f"{label} {step!r}",
        )
    graph.add(
        step,
        label,
        lambda context, _: JoinResults(context, join) if window.idle_ms is None else IdleJoinResults(context, join),
        parents=(join.store(Side.LEFT), join.store(Side.RIGHT)),
        detail=str(window),
    )
    return left.behind(step, value_codec(type_ if type_ is not None else returned_type(joiner)))


def _side_maker(join: StreamJoin, side: Side) -> Callable[[TaskContext, str], Processor]:
    return lambda context, _: JoinSide(context, join, side)


def _shared(context: TaskContext, join: StreamJoin) -> Unmatched | None:
    """What the steps of a join have in common in one task."""
    if join.unmatched is None:
        return None
    window = join.window
    # Where the other event must lie on one side, the window may be over before its event: that waits for none.
    waits_ms = {
        Side.LEFT: max(0, window.after_ms + window.grace_ms),
        Side.RIGHT: max(0, window.before_ms + window.grace_ms),
    }
    unmatched: Unmatched = context.shared(join.unmatched, lambda store: Unmatched(store, waits_ms))
    return unmatched


class JoinSide(Processor):
    """One side of a join: its events meet those of the other side that came before them."""

    def __init__(self, context: TaskContext, join: StreamJoin, side: Side) -> None:
        super().__init__()
        self._context = context
        self._join = join
        self._side = side
        window = join.window
        self._other_side = Side.RIGHT if side is Side.LEFT else Side.LEFT
        # Seen from this side: how far the other event may lie before and after.
        self._before_ms = window.before_ms if side is Side.LEFT else window.after_ms
        self._after_ms = window.after_ms if side is Side.LEFT else window.before_ms
        span_ms = window.before_ms + window.after_ms

        def buffer(of: Side) -> JoinBuffer:
            made: JoinBuffer = context.shared(
                join.store(of), lambda store: JoinBuffer(store, span_ms, span_ms + window.grace_ms)
            )
            return made

        self._own, self._other = buffer(side), buffer(self._other_side)
        self._keeps_unmatched = join.kind == "outer" or (join.kind == "left" and side is Side.LEFT)
        self._unmatched = _shared(context, join)

    async def receive(self, batch: Batch) -> None:
        out = Rows()
        counts, unmatched = self._context.counts, self._unmatched
        for row, (key, value, timestamp) in enumerate(zip(batch.keys, batch.values, batch.timestamps, strict=True)):
            if unmatched is not None:
                unmatched.advance(timestamp)
            if value is None:
                counts.null_value_dropped += 1
            elif key is None and not self._keeps_unmatched:
                counts.null_key_dropped += 1
            else:
                if unmatched is not None and key is not None and timestamp == unmatched.stream_time:
                    emit_unmatched(self._context, self._join, unmatched.over(), out)
                try:
                    self._take(key, value, timestamp, batch, row, out)
                except Exception as error:
                    self._context.reject(self._join.name, error, batch, row)
        if unmatched is not None:
            unmatched.hear(self._context.elapsed_ms)
        await self.forward(out.batch())

    def _take(self, key: Any, value: Any, timestamp: int, batch: Batch, row: int, out: Rows) -> None:
        """One event meets the others. All results are computed before anything is changed."""
        join, side, unmatched, origin = self._join, self._side, self._unmatched, batch.origins[row]
        if key is None:
            out.add(key, join.call(side, value, None), timestamp, origin)
            return
        latest = max(0, timestamp + self._after_ms)
        others = self._other.find(key, max(0, timestamp - self._before_ms), latest)
        results = [(max(timestamp, time), join.call(side, value, other)) for time, other in others]
        waits = False
        if self._keeps_unmatched and not others:
            # An event whose window is over already, grace or not, does not wait: it is at the end of all that waits.
            waits = unmatched is not None and latest >= unmatched.stream_time
            if not waits:
                results = [(timestamp, join.call(side, value, None))]
        self._own.put(key, value, timestamp)
        if unmatched is not None:
            if waits:
                unmatched.put(side, key, value, timestamp)
            for time, _ in others:
                unmatched.matched(self._other_side, key, time)
        for time, result in results:
            out.add(key, result, time, origin)


class JoinResults(Processor):
    """Where the sides of a join become one stream, and what met no other is emitted at the end of the input."""

    def __init__(self, context: TaskContext, join: StreamJoin) -> None:
        super().__init__()
        self._context = context
        self._join = join
        self._unmatched = _shared(context, join)

    async def receive(self, batch: Batch) -> None:
        await self.forward(batch)

    async def end_of_input(self) -> None:
        if self._unmatched is not None:
            out = Rows()
            emit_unmatched(self._context, self._join, self._unmatched.rest(), out)
            await self.forward(out.batch())


class IdleJoinResults(JoinResults):
    """As `JoinResults`, and what met no other is emitted when its window is over by the wall clock, too."""

    async def advance(self) -> None:
        if self._unmatched is not None and self._join.window.idle_ms is not None:
            out = Rows()
            pending = self._unmatched.over_by_clock(self._context.elapsed_ms, self._join.window.idle_ms)
            emit_unmatched(self._context, self._join, pending, out)
            await self.forward(out.batch())


def emit_unmatched(context: TaskContext, join: StreamJoin, pending: list[Pending], out: Rows) -> None:
    """Adds the results of events that met no other, without headers: no event that is at hand made them."""
    for time, side, key, value in pending:
        try:
            result = join.call(side, value, None)
        except Exception as error:
            context.reject(join.name, error, Batch([key], [value], [time], [None]), 0)
        else:
            out.add(key, result, time)
