"""Tables with windows, as Faust has them: `views = app.Table("views", default=int).tumbling(3600, expires=86400)`.

A key has a value in each window. What is written goes to every window that the time at hand is in, what is read is
chosen by time:

    views[page] += 1                    all windows of the event's time
    views[page].current()               the newest window of the event's time
    views[page].now()                   the oldest window of the time on the clock
    views[page].delta(hours)            the newest window of the event's time less so much
    views[page].value()                 the newest window of the time that the table is relative to
    views.items().current()             all keys of a window, and .now(), .delta()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Generic, TypeVar

from ottla.errors import NotInTask, TopologyError
from ottla.hints import Selector, selected
from ottla.state.window_slots import Slot, WindowCache
from ottla.tables.table import REQUIRED, Table
from ottla.tables.window_views import WindowedItems, WindowedKeys, WindowedValues, WindowSet
from ottla.task.processor import TaskContext
from ottla.time import Duration, duration_ms, timestamp_of
from ottla.windows.definitions import Window

K = TypeVar("K")
V = TypeVar("V")

Clock = Callable[[TaskContext], int]
"""What time it is for a task, in milliseconds since the epoch."""


class WindowedTable(Table[K, "WindowSet[V]"], Generic[K, V]):
    """A table whose keys have a value in each window. Made by `Table.tumbling` and `Table.hopping`.

    It is relative to the time of the event at hand, unless `relative_to_now` or `relative_to_field` says otherwise:
    those give the same table, seen from another time.
    """

    def __init__(self, table: Table[K, V], window: Window, clock: Clock | None = None) -> None:
        super().__init__("", table.name, table.key_codec, table.value_codec, spec=table.spec)  # type: ignore[arg-type]
        self.spec = table.spec
        self.partitions = table.partitions
        self.declared = table.declared
        self.window = window
        self._table = table
        self._clock = clock if clock is not None else event_time

    def relative_to_now(self) -> WindowedTable[K, V]:
        """The table, relative to the time on the clock."""
        return self.seen_at(lambda context: context.now_ms)

    def relative_to_stream(self) -> WindowedTable[K, V]:
        """The table, relative to the time of the event at hand."""
        return self.seen_at(event_time)

    def relative_to_field(self, field: Selector) -> WindowedTable[K, V]:
        """The table, relative to a time in the event at hand: a field of its value, or a function of that.

        The time is a `datetime`, in UTC unless it names a zone, or milliseconds since the epoch.
        """
        select = selected(field)
        return self.seen_at(lambda context: timestamp_of(select(_value(context))))

    def relative_to(self, time: datetime | int) -> WindowedTable[K, V]:
        """The table, relative to a fixed time: a `datetime`, in UTC unless it names a zone, or milliseconds since the
        epoch."""
        timestamp = timestamp_of(time)
        return self.seen_at(lambda _: timestamp)

    def seen_at(self, clock: Clock) -> WindowedTable[K, V]:
        """The table, relative to what a clock says."""
        return WindowedTable(self._table, self.window, clock)

    def __getitem__(self, key: K) -> WindowSet[V]:
        self._part()
        return WindowSet(self, key)

    def __setitem__(self, key: K, value: Any) -> None:
        """Sets the value of the key in all windows of the time that the table is relative to; None deletes it."""
        if not isinstance(value, WindowSet):  # `table[key] += 1` has written already, and assigns what it was given.
            self.apply(lambda _, new: new, key, value)

    def __delitem__(self, key: K) -> None:
        if key not in self:
            raise KeyError(key)
        self[key] = None

    def __contains__(self, key: object) -> bool:
        context = self._context()
        return Slot(key, self.newest(self._clock(context))) in self.part_in(context)

    def get(self, key: K, default: Any = None) -> Any:
        """The value in the newest window of the time that the table is relative to, or `default`."""
        context = self._context()
        return self.part_in(context).get(Slot(key, self.newest(self._clock(context))), default)

    def pop(self, key: K, default: Any = REQUIRED) -> Any:
        """Removes the key from all windows of the time at hand, and returns the value that `get` finds, or `default`.

        Raises `KeyError` if there is neither.
        """
        value = self.get(key, default)
        if value is REQUIRED:
            raise KeyError(key)
        self[key] = None
        return value

    def setdefault(self, key: K, default: Any = None) -> WindowSet[V]:
        """The windows of the key; if it has no value in the newest, all of the time at hand get `default`."""
        if key not in self:
            self[key] = self._table.or_default(key) if default is None else default
        return self[key]

    def apply(self, operation: Callable[[Any, Any], Any], key: K, operand: Any) -> None:
        """Sets the key to `operation(its value, operand)` in each window of the time that the table is relative to."""
        context = self._context()
        part = self.part_in(context)
        for start in self.window.starts(self._clock(context)):
            slot = Slot(key, start)
            old = part.get(slot)
            if old is None and self._table.default is not None:
                old = self._table.default()
            new = operation(old, operand)
            self.check_value(new)
            self._write(context, part, slot, new)

    def at(self, key: K, choose: Callable[[TaskContext], int]) -> V:
        """The value of the key in the window whose start `choose` gives, or the default, or `KeyError`."""
        context = self._context()
        value: V | None = self.part_in(context).get(Slot(key, choose(context)))
        return self._table.or_default(key) if value is None else value

    def now(self, context: TaskContext) -> int:
        """The start of the oldest window of the time on the clock."""
        return self.window.starts(context.now_ms)[0]

    def current(self, context: TaskContext) -> int:
        """The start of the newest window of the event at hand."""
        return self.newest(event_time(context))

    def delta(self, before: Duration) -> Callable[[TaskContext], int]:
        """What gives the start of the newest window of the event at hand less a duration."""
        less_ms = duration_ms(before, "delta()")
        return lambda context: self.newest(max(event_time(context) - less_ms, 0))

    def relative(self, context: TaskContext) -> int:
        """The start of the newest window of the time that the table is relative to."""
        return self.newest(self._clock(context))

    def newest(self, timestamp: int) -> int:
        """The start of the newest window that holds a time."""
        return self.window.starts(timestamp)[-1]

    def keys(self) -> WindowedKeys[K]:
        """The keys of the newest window of the time that the table is relative to; `.now()`, `.current()`, `.delta()`
        are those of other windows."""
        return WindowedKeys(self)

    def values(self) -> WindowedValues[V]:  # type: ignore[override]
        """The values of a window, as `keys`."""
        return WindowedValues(self)

    def items(self) -> WindowedItems[K, V]:  # type: ignore[override]
        """The keys and values of a window, as `keys`."""
        return WindowedItems(self)

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self.in_window(self.relative))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return any(True for _ in self)

    def clear(self) -> None:
        """Deletes all windows of all keys of this task's part."""
        context = self._context()
        part = self.part_in(context)
        for slot, _ in part.range():
            self._write(context, part, slot, None)

    def range(self, start: K | None = None, end: K | None = None, *, reverse: bool = False) -> Iterator[Any]:  # noqa: ARG002
        raise TopologyError(f"table {self.name!r} has windows: go through one with items(), items().now() or .delta()")

    def prefix(self, prefix: K, *, reverse: bool = False) -> Iterator[Any]:
        return self.range(prefix, reverse=reverse)

    def __reversed__(self) -> Iterator[K]:
        return reversed([key for key, _ in self.in_window(self.relative)])

    def in_window(self, choose: Callable[[TaskContext], int]) -> Iterator[tuple[K, V]]:
        """Keys and values of the window whose start `choose` gives, in the order of the encoded keys."""
        context = self._context()
        return self.part_in(context).window(choose(context))

    def part_in(self, context: TaskContext) -> WindowCache:
        store = self._store(context)
        assert isinstance(store, WindowCache), "the spec of a table with windows makes such a cache"
        store.advance(store.time())
        return store

    def _part(self) -> WindowCache:
        return self.part_in(self._context())


def event_time(context: TaskContext) -> int:
    """The time of the event at hand. Raises `NotInTask` where there is none."""
    timestamp = context.now()
    if timestamp is None:
        raise NotInTask(
            "no event is being processed, so there is no window of its time: use now() or relative_to_now()"
        )
    return timestamp


def _value(context: TaskContext) -> Any:
    at = context.cursor if context.cursor is not None else context.called_for
    if at is None:
        raise NotInTask("no event is being processed, so there is no field to take the time from")
    return at.batch.values[max(at.row, 0)]
