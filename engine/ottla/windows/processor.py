"""What the aggregations over windows of event time have in common: stream time, late events, the ends of windows."""

from __future__ import annotations

from dataclasses import dataclass

from ottla.aggregations import Compiled
from ottla.task.batch import Batch
from ottla.task.processor import Processor, TaskContext
from ottla.task.slots import CLOSED_UP_TO, STREAM_TIME
from ottla.windows.definitions import Emit
from ottla.windows.results import Results


@dataclass(frozen=True, slots=True)
class Aggregate:
    """What is to be computed in each window: `name` is the step's and its store's. `emit` says when it is handed on."""

    name: str
    compiled: Compiled
    emit: Emit


class WindowedAggregation(Processor):
    """Aggregates events per key and window, and emits results on close or on every update.

    Stream time is the largest timestamp that reached the step with any key of its partition. `late` receives the events
    that no window takes any more. Subclasses say which windows an event is in and when they close.
    """

    def __init__(
        self, context: TaskContext, aggregate: Aggregate, grace_ms: int, idle_ms: int | None, late: Processor | None
    ) -> None:
        super().__init__()
        self._context = context
        self._name = aggregate.name
        self._store = context.stores[aggregate.name]
        self._compiled = aggregate.compiled
        self._on_close = aggregate.emit == "close"
        self._grace_ms = grace_ms
        self._idle_ms = idle_ms
        self._late = late
        self._stream_time: int = self._store.get(STREAM_TIME, -1)
        # What ended by then is closed for good, even if the end of an input closed it and not stream time.
        self._closed_up_to: int = self._store.get(CLOSED_UP_TO, -1)
        # When the last event came, and what stream time was then.
        self._heard_ms: int | None = None
        self._heard_time = self._stream_time

    async def receive(self, batch: Batch) -> None:
        out = Results()
        late: list[int] = []
        self.aggregate(batch, out, late)
        self._store.put(STREAM_TIME, self._stream_time)
        self._heard_ms, self._heard_time = self._context.elapsed_ms, self._stream_time
        for made in out.batches():
            await self.forward(made)
        if late and self._late is not None:
            await self._late.receive(batch.rows(late, [batch.values[row] for row in late]))

    async def advance(self) -> None:
        if self._idle_ms is None or self._stream_time < 0:
            return
        elapsed_ms = self._context.elapsed_ms
        if self._heard_ms is None:
            self._heard_ms = elapsed_ms
        silent_ms = elapsed_ms - self._heard_ms
        if silent_ms < self._idle_ms:
            return
        stream_time = self._heard_time + silent_ms
        if self.due(stream_time - self._grace_ms):
            self._stream_time = stream_time
            self._store.put(STREAM_TIME, stream_time)
            await self._emit_closed()

    async def end_of_input(self) -> None:
        self._closed_up_to = max(self.closing_time(), self.last_end())
        self._store.put(CLOSED_UP_TO, self._closed_up_to)
        await self._emit_closed()

    def aggregate(self, batch: Batch, out: Results, late: list[int]) -> None:
        """Takes a batch: adds to `out` what is to be emitted, and to `late` the rows that are in no open window."""
        raise NotImplementedError

    def due(self, closing_time: int) -> bool:
        """Whether windows may close at this time."""
        raise NotImplementedError

    def close_ended(self, closing_time: int, out: Results) -> None:
        """Closes the windows that end before this time, or at it where the end is not part of the window."""
        raise NotImplementedError

    def last_end(self) -> int:
        """A closing time at which all windows are closed; -1 if there are none."""
        raise NotImplementedError

    def closing_time(self) -> int:
        """The end at which windows are closed by now."""
        return max(self._stream_time - self._grace_ms, self._closed_up_to)

    async def _emit_closed(self) -> None:
        closing_time = self.closing_time()
        if self.due(closing_time):
            out = Results()
            self.close_ended(closing_time, out)
            for made in out.batches():
                await self.forward(made)
