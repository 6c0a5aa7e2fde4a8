"""`on_window_close=` of tables: a function that is called with each window of a key that is over, and then deleted.

A window is over when a time is `expires` past its end: the newest time of the events that wrote the table's part, or
where none has come since the last look, the clock's. So what was waiting in a topic is not cut short, and a window
closes without another event after it. How far that is, is state beside the table's, so that whoever has the task next
goes on there. Each call is an event of its own: what it sends and writes is in the task's transaction, and if it
raises, that is taken back, and the window is gone to the dead letters.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any

from ottla.serdes import state_codec_for, state_key_codec_for
from ottla.state.format import format_of
from ottla.state.store import StoreSpec
from ottla.state.window_slots import Slot, WindowCache
from ottla.tables.table import table_spec
from ottla.task.batch import Batch
from ottla.task.processor import Place, TaskContext
from ottla.task.punctuators import WallClockPunctuator
from ottla.time import Duration, duration_ms

if TYPE_CHECKING:
    from ottla.faust.tables import Windowed
    from ottla.topology.topology import TaskId

OnWindowClose = Callable[[tuple[Any, tuple[float, float]], Any], Any]
"""A function, async or not, of a key with the begin and end of a window, in seconds, and of the value there."""

_bound = Struct(">Q").pack
_NEWEST, _CLOSED = "newest", "closed"
"""What is kept of each task: the newest time that wrote the table, and the begin of the newest window that closed."""


class Closing:
    """When the windows of a table close, and what is called then."""

    def __init__(self, function: OnWindowClose, size_ms: int, expires: Duration) -> None:
        self.function = function
        self._size_ms = size_ms
        self._lifetime_ms = size_ms + duration_ms(expires, "a window's expires")
        self._newest: dict[TaskId, int] = {}

    def begin(self, task: TaskId, newest_ms: int) -> None:
        """A task begins with its part of the table, of which this is the newest time that wrote it."""
        self._newest[task] = newest_ms

    def note(self, task: TaskId, time_ms: int) -> None:
        """The table was written at this time."""
        if time_ms > self._newest[task]:
            self._newest[task] = time_ms

    def newest(self, task: TaskId) -> int:
        """The newest time that wrote the task's part."""
        return self._newest[task]

    def over(self, part: WindowCache, time_ms: int) -> Any:
        """The windows that are over at a time, and their values, the oldest first."""
        return part.range(None, _bound(max(time_ms - self._lifetime_ms + 1, 0)))

    def named(self, slot: Slot) -> tuple[Any, tuple[float, float]]:
        """A key and its window as Faust has them: the end is a tenth of a second before the next one begins."""
        return slot.key, (slot.start / 1000, (slot.start + self._size_ms) / 1000 - 0.1)


class WindowCloser(WallClockPunctuator):
    """Looks every so often for windows of a table that are over, in each task that has a part of it."""

    def __init__(self, context: TaskContext, name: str, table: Windowed, closing: Closing, every_ms: int) -> None:
        super().__init__(context, name, closing.function, every_ms)
        self._table = table
        self._closing = closing
        self._progress = context.stores[progress_name(table)]
        # The newest time as of the last look. The first look after a start does not know whether events wait.
        self._looked_at: int | None = None
        closing.begin(context.task, self._progress.get(_NEWEST, -1))

    def _time(self, now_ms: int) -> int:
        """The time by which windows close now."""
        newest = self._closing.newest(self._context.task)
        idle = newest == self._looked_at
        if not idle:
            self._looked_at = newest
            self._progress.put(_NEWEST, newest)
        return max(newest, now_ms) if idle else newest

    async def _punctuate(self, now_ms: int) -> None:
        context, closing = self._context, self._closing
        part = context.stores[self._table.name]
        assert isinstance(part, WindowCache), "the table has windows"
        # Late events may begin a window anew that has closed, and earlier ones.
        time_ms, last_closed = self._time(now_ms), self._progress.get(_CLOSED, -1)
        outer = context.cursor
        for slot, value in closing.over(part, time_ms):
            moment = Batch([slot.key], [value], [time_ms], [None])
            context.cursor = Place(moment, 0)
            try:
                if slot.start > last_closed:
                    await self._call_with(slot, value, moment)
                else:
                    context.counts.late_dropped += 1
                self._table.drop(context, part, slot)
            finally:
                context.cursor = outer
            self._progress.put(_CLOSED, max(slot.start, self._progress.get(_CLOSED, -1)))
            await context.settle(moment)

    async def _call_with(self, slot: Slot, value: Any, moment: Batch) -> None:
        try:
            done = self._closing.function(self._closing.named(slot), value)
            if inspect.isawaitable(done):
                await done
        except Exception as error:
            self._context.take_back(0)
            self._context.reject(self._name, error, moment, 0)


def progress_name(table: Windowed) -> str:
    """The store of how far the windows of a table have closed."""
    return f"{table.name}-closing"


def _progress_spec(app_id: str, table: Windowed) -> StoreSpec:
    key, value = state_key_codec_for(str), state_codec_for(int)
    spec = table_spec(app_id, progress_name(table), key, value)
    return spec.with_format(format_of("closing of windows", key, value))


def close_windows(table: Windowed, every: Duration) -> None:
    """Has the windows of a table closed: looks for those that are over every so often."""
    graph, closing = table.declared.home, table.closing
    assert graph is not None, "the table is declared"
    assert closing is not None, "asked for by who declared it"
    every_ms = max(duration_ms(every, "table_cleanup_interval"), 1)
    graph.add(
        f"{table.name}.close",
        "punctuator",
        lambda context, name: WindowCloser(context, name, table, closing, every_ms),
        stores=(_progress_spec(graph.app_id, table),),
        awaited=(closing.function,),
        tables=(table,),
        detail=f"every {every_ms} ms of the wall clock",
    )
