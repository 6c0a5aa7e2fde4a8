"""Tables of a Faust app: Ottla's, which can be read outside agents, too, and draw themselves.

What a table is to an agent it is in Ottla. Timers, tasks, signals, pages and tests read what this worker has of it, as
it was last committed, and cannot write.
"""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeVar, cast

import ottla.tables
from ottla.errors import NotInTask
from ottla.faust.closing import Closing, OnWindowClose
from ottla.faust.missing import TABLE, WINDOW_SET, WINDOWS, Lacking
from ottla.faust.models.fields import FieldDescriptor
from ottla.faust.outside import ONLY_AGENTS, HeldParts, Outside
from ottla.jobs import call
from ottla.state.window_slots import Slot, WindowCache
from ottla.tables.global_sets import SetGlobalTable
from ottla.tables.window_views import WindowedItems, WindowedKeys, WindowedValues
from ottla.tables.window_views import WindowSet as OttlaWindowSet
from ottla.tables.windowed import Clock, WindowedTable
from ottla.tables.written_global import WrittenGlobalTable
from ottla.task.processor import TaskContext, current
from ottla.time import Duration, duration_ms
from ottla.windows.definitions import Window

if TYPE_CHECKING:
    from ottla.faust.app import App
    from ottla.faust.events import Event

T = TypeVar("T")

OnRecover = Callable[[], Any]
"""A function, async or not, of nothing."""


class FaustTable(ottla.tables.Table[Any, Any], Lacking):
    """What Faust's tables have in common."""

    _lacks = TABLE
    _called = "table"
    app: App
    help: str
    is_global = False
    on_window_close: OnWindowClose | None
    recover_callbacks: list[OnRecover]

    def on_recover(self, fun: OnRecover) -> OnRecover:
        """Has the function, async or not, called when a worker has begun with parts of the table."""
        self.recover_callbacks.append(fun)
        return fun

    async def recovered(self, _: object) -> None:
        """A worker has begun with parts of it."""
        for function in self.recover_callbacks:
            await call(function)

    def tumbling(self, size: Duration, expires: Duration | None = None, key_index: bool = False) -> Windowed:  # noqa: ARG002
        """The table with windows side by side. Its keys can be gone through with or without `key_index`."""
        return cast(Windowed, super().tumbling(size, expires))

    def hopping(
        self,
        size: Duration,
        step: Duration,
        expires: Duration | None = None,
        key_index: bool = False,  # noqa: ARG002 - they can be gone through without
    ) -> Windowed:
        """The table with windows of `size` that begin every `step`."""
        return cast(Windowed, super().hopping(size, step, expires))

    def _windowed(self, window: Window, expires: Duration | None) -> WindowedTable[Any, Any]:
        self.__class__ = ottla.tables.Table  # type: ignore[assignment]  # Only such can have windows.
        closing = None
        if self.on_window_close is not None and expires is not None:
            # Then it is who calls that function that deletes what is over.
            closing, expires = Closing(self.on_window_close, window.size_ms, expires), None
        windowed = cast(Windowed, of_faust(self._windowed(window, expires), self.app, self.help))
        windowed.closing, windowed.recover_callbacks = closing, self.recover_callbacks
        self.app.tables[self.name] = windowed
        return windowed

    def _context(self) -> TaskContext:
        held_parts = self.app.declared.held_parts
        if current.get(None) is None and held_parts is not None:
            return cast(TaskContext, Outside(self.name, held_parts(self.spec)))
        return super()._context()

    def as_ansitable(
        self,
        title: str = "{table.name}",
        *,
        key: str = "Key",
        value: str = "Value",
        sort: bool = False,
        sortkey: Callable[[tuple[Any, Any]], Any] = lambda item: item[0],
    ) -> str:
        """The table as a text: what this worker has of it."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        items = list(self.items())
        drawn = Table(key, value)
        for found, of_key in sorted(items, key=sortkey) if sort else items:
            drawn.add_row(Text(str(found)), Text(str(of_key)))
        text = StringIO()
        Console(file=text, width=100).print(Text(title.format(table=self)), drawn, sep="\n")
        return text.getvalue()


class FaustSetTable(FaustTable, ottla.tables.SetTable[Any, Any]):
    """A table of sets."""


class FaustGlobalTable(FaustTable, WrittenGlobalTable[Any, Any]):
    """A table that every worker has whole."""

    is_global = True

    def __setitem__(self, key: Any, value: Any) -> None:
        if current.get(None) is None:
            raise NotInTask(ONLY_AGENTS.format(key))
        super().__setitem__(key, value)


class FaustSetGlobalTable(FaustGlobalTable, SetGlobalTable[Any, Any]):
    """A table of sets that every worker has whole."""


class Windowed(FaustTable, WindowedTable[Any, Any]):
    """A table with windows."""

    _lacks = WINDOWS

    closing: Closing | None = None

    def apply(self, operation: Callable[[Any, Any], Any], key: Any, operand: Any) -> None:
        super().apply(operation, key, operand)
        if self.closing is not None:
            context = self._context()
            self.closing.note(context.task, self._clock(context))

    def drop(self, context: TaskContext, part: WindowCache, slot: Slot) -> None:
        """Deletes the value of a key in one window."""
        self._write(context, part, slot, None)

    def __getitem__(self, key: Any) -> WindowSet:
        self._part()
        return WindowSet(self, key)

    def relative_to(self, ts: Any) -> Windowed:
        """The table, relative to a field, a `datetime`, or a time in seconds; to the event at hand for None."""
        if ts is None:
            return cast(Windowed, self.relative_to_stream())
        if isinstance(ts, FieldDescriptor):
            return cast(Windowed, self.relative_to_field(ts))
        return cast(Windowed, super().relative_to(round(ts * 1000) if isinstance(ts, int | float) else ts))

    def items(self, event: Event | None = None) -> WindowedItems[Any, Any]:
        """The keys and values of a window: that of the time that the table is relative to, or of an event."""
        return super().items() if event is None else self._at(event).items()

    def keys(self, event: Event | None = None) -> WindowedKeys[Any]:
        """The keys of a window, as `items`."""
        return super().keys() if event is None else self._at(event).keys()

    def values(self, event: Event | None = None) -> WindowedValues[Any]:
        """The values of a window, as `items`."""
        return super().values() if event is None else self._at(event).values()

    def _at(self, event: Event) -> Windowed:
        return self.seen_at(lambda _: event.time_ms)

    def seen_at(self, clock: Clock) -> Windowed:
        seen = cast(Windowed, of_faust(super().seen_at(clock), self.app, self.help))
        seen.closing = self.closing
        seen.__class__ = type(self)  # Its uses may be told to sensors.
        return seen

    def part_in(self, context: TaskContext) -> WindowCache:
        store: Any = self._store(context)
        if isinstance(store, HeldParts):
            return cast(WindowCache, store)
        return super().part_in(context)


class WindowSet(Lacking, OttlaWindowSet[Any]):
    """The values of one key in its windows: at the time of the event at hand, or of one that is given."""

    __slots__ = ()
    _lacks = WINDOW_SET
    _called = "table[key]"

    @property
    def key(self) -> Any:
        return self._key

    @property
    def table(self) -> Any:
        """The table whose windows they are."""
        return self._table

    def value(self, event: Event | None = None) -> Any:
        """The value in the newest window of the time that the table is relative to, or of the event."""
        return super().value() if event is None else self.current(event)

    def current(self, event: Event | None = None) -> Any:
        """The value in the newest window of the event."""
        return super().current() if event is None else self._at(event.time_ms)

    def delta(self, d: Duration, event: Event | None = None) -> Any:
        """The value in the newest window of so long before the event."""
        return super().delta(d) if event is None else self._at(event.time_ms - duration_ms(d, "delta()"))

    def _at(self, time_ms: int) -> Any:
        return self._table.at(self._key, lambda _: self._table.newest(max(time_ms, 0)))


def of_faust(table: T, app: App, help: str, on_window_close: OnWindowClose | None = None) -> T:  # noqa: A002
    """The table of Ottla's as one of Faust's."""
    kinds: dict[Any, Any] = {
        ottla.tables.Table: FaustTable,
        ottla.tables.SetTable: FaustSetTable,
        WindowedTable: Windowed,
        WrittenGlobalTable: FaustGlobalTable,
        SetGlobalTable: FaustSetGlobalTable,
    }
    table.__class__ = kinds[type(table)]
    found = cast(FaustTable, table)
    found.app, found.help, found.on_window_close = app, help, on_window_close
    found.recover_callbacks = []
    app.seen_tables.append(found)
    return table
