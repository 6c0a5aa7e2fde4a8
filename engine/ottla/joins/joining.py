"""How a stream is joined, as users write it: with another stream, a table, or what was valid at an event's time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from ottla.errors import TopologyError
from ottla.hints import Selector
from ottla.joins.stream_stream import When, check_no_window, join_streams, join_window
from ottla.joins.with_tables import How, join_as_of, join_table
from ottla.relations import Relation, View
from ottla.time import Duration
from ottla.topic import Topic

if TYPE_CHECKING:
    from ottla.stream import Stream
    from ottla.tables import Table

V = TypeVar("V")
R = TypeVar("R")
T = TypeVar("T")


class Joining(Generic[V]):
    """The part of a `Stream` by which it is joined."""

    @property
    def _stream(self) -> Stream[V]:
        return cast("Stream[V]", self)

    @overload
    def join(
        self,
        other: Table[Any, T] | View[Any, T],
        joiner: Callable[[V, T], R],
        *,
        key: Selector | None = None,
        grace: Duration = 0,
        name: str | None = None,
        type: Any = None,
    ) -> Stream[R]: ...
    @overload
    def join(
        self,
        other: Stream[T],
        joiner: Callable[[V, T], R],
        *,
        within: Duration | None = None,
        before: Duration | None = None,
        after: Duration | None = None,
        grace: Duration = 0,
        name: str | None = None,
        type: Any = None,
    ) -> Stream[R]: ...
    def join(
        self,
        other: Table[Any, Any] | View[Any, Any] | Stream[Any],
        joiner: Callable[[Any, Any], R],
        *,
        within: Duration | None = None,
        before: Duration | None = None,
        after: Duration | None = None,
        grace: Duration = 0,
        key: Selector | None = None,
        name: str | None = None,
        type: Any = None,  # noqa: A002 - as in map
    ) -> Stream[R]:
        """`joiner(value, other)` for each pair of equal keys, and nothing for an event that meets none.

        With a table: each event meets what the table holds for its key, or with a global table for the key that `key`
        finds in its value (a field's name or a function). With a versioned table it meets what was valid at its time,
        and with `grace` it waits that long for changes of the table that come late. With a stream: events meet that are
        `within` so much time, or with the other up to `before` and `after` this one; `grace` is how much later they may
        come. `name` names the step and its state, `type` is the type of the results where the joiner has no annotation.
        """
        if isinstance(other, Joining):
            if key is not None:
                raise TopologyError("join: key= is for global tables; streams meet by their own keys, see group_by")
            window = join_window(within, before, after, grace)
            return join_streams(self._stream, other, joiner, "inner", window, unmatched="close", name=name, type_=type)
        check_other("join", other, or_table=True)
        check_no_window("join", within, before, after)
        return join_table(self._stream, other, joiner, left=False, key=key, grace=grace, name=name, type_=type)

    @overload
    def left_join(
        self,
        other: Table[Any, T] | View[Any, T],
        joiner: Callable[[V, T | None], R],
        *,
        key: Selector | None = None,
        grace: Duration = 0,
        name: str | None = None,
        type: Any = None,
    ) -> Stream[R]: ...
    @overload
    def left_join(
        self,
        other: Stream[T],
        joiner: Callable[[V, T | None], R],
        *,
        within: Duration | None = None,
        before: Duration | None = None,
        after: Duration | None = None,
        grace: Duration = 0,
        unmatched: When = "close",
        idle: Duration | None = None,
        name: str | None = None,
        type: Any = None,
    ) -> Stream[R]: ...
    def left_join(
        self,
        other: Table[Any, Any] | View[Any, Any] | Stream[Any],
        joiner: Callable[[Any, Any], R],
        *,
        within: Duration | None = None,
        before: Duration | None = None,
        after: Duration | None = None,
        grace: Duration = 0,
        unmatched: When = "close",
        idle: Duration | None = None,
        key: Selector | None = None,
        name: str | None = None,
        type: Any = None,  # noqa: A002 - as in map
    ) -> Stream[R]:
        """As `join`, and `joiner(value, None)` for an event that meets none.

        In a join of streams that is known when the event's window is over: `unmatched="close"`. That is told by later
        events, or with `idle` also by the clock, once no event came for that long. With "at_once" it is emitted when
        the event comes, although a match may still follow.
        """
        if isinstance(other, Joining):
            if key is not None:
                raise TopologyError("join: key= is for global tables; streams meet by their own keys, see group_by")
            window = join_window(within, before, after, grace, idle)
            return join_streams(self._stream, other, joiner, "left", window, unmatched=unmatched, name=name, type_=type)
        check_other("left_join", other, or_table=True)
        check_no_window("left_join", within, before, after, idle, None if unmatched == "close" else unmatched)
        return join_table(self._stream, other, joiner, left=True, key=key, grace=grace, name=name, type_=type)

    def outer_join(
        self,
        other: Stream[T],
        joiner: Callable[[V | None, T | None], R],
        *,
        within: Duration | None = None,
        before: Duration | None = None,
        after: Duration | None = None,
        grace: Duration = 0,
        unmatched: When = "close",
        idle: Duration | None = None,
        name: str | None = None,
        type: Any = None,  # noqa: A002 - as in map
    ) -> Stream[R]:
        """As `left_join` of two streams, and `joiner(None, other)` for an event of the other that meets none."""
        check_other("outer_join", other)
        window = join_window(within, before, after, grace, idle)
        return join_streams(self._stream, other, joiner, "outer", window, unmatched=unmatched, name=name, type_=type)

    def join_asof(
        self,
        other: Stream[T] | Table[Any, T],
        joiner: Callable[[V, T], R] | Callable[[V, T | None], R],
        *,
        how: How = "inner",
        tolerance: Duration | None = None,
        allow_exact_matches: bool = True,
        grace: Duration = 0,
        retention: Duration = timedelta(days=1),
        name: str | None = None,
        type: Any = None,  # noqa: A002 - as in map
    ) -> Stream[R]:
        """`joiner(value, other)` for each event, with the latest value of its key in the other at or before its time.

        The other is a versioned table, or a stream whose values are kept for `retention` of its time. As pandas'
        `merge_asof`: `tolerance` is how old the value may be, and without `allow_exact_matches` it must be older than
        the event. An event that finds none gives nothing, or `joiner(value, None)` with `how="left"`. With `grace` an
        event waits that long, by the time of this stream, for values of the other that come late. `name` names the
        state.
        """
        check_other("join_asof", other, or_table=True)
        return join_as_of(
            self._stream,
            other,
            joiner,
            how=how,
            tolerance=tolerance,
            allow_exact_matches=allow_exact_matches,
            grace=grace,
            retention=retention,
            name=name,
            type_=type,
        )


def check_other(how: str, other: object, *, or_table: bool = False) -> None:
    """Raises `TopologyError` for what a stream cannot be joined to, or merged with: what is no stream, nor a table
    where that will do."""
    if isinstance(other, Joining) or (or_table and isinstance(other, Relation)):
        return
    takes = "another stream or a table" if or_table else "another stream"
    advice = "; its events are a stream as app.stream(topic)" if isinstance(other, Topic) else ""
    raise TopologyError(f"{how} takes {takes}, not {other!r}{advice}")
