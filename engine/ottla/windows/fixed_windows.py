"""The aggregation over tumbling and hopping windows.

A window is half-open: it holds the events with start <= timestamp < end. It closes when stream time >= end + grace.
State is kept under the window's start and the event's key.
"""

from __future__ import annotations

from heapq import heappop, heappush

from ottla.aggregations import Compiled
from ottla.serdes import Codec, state_codec_for
from ottla.state.store import StoreSpec
from ottla.task.batch import Batch
from ottla.task.processor import Processor, TaskContext
from ottla.task.slots import NEVER, prefix, slot_spec
from ottla.windows.definitions import Window
from ottla.windows.processor import Aggregate, WindowedAggregation
from ottla.windows.results import Results


def fixed_spec(app_id: str, name: str, key: Codec[object], compiled: Compiled) -> StoreSpec:
    """The store of an aggregation over tumbling or hopping windows."""
    state = state_codec_for(int | compiled.state_type)
    return slot_spec(app_id, name, key, state.encode, state.decode)


class FixedAggregation(WindowedAggregation):
    """Aggregates over windows that lie where their definition says, whatever events come."""

    def __init__(self, context: TaskContext, aggregate: Aggregate, window: Window, late: Processor | None) -> None:
        super().__init__(context, aggregate, window.grace_ms, window.idle_ms, late)
        self._window = window
        # The starts of the open windows, in order (already a heap), and for look-ups.
        self._closing_next = self._stored_starts()
        self._open = set(self._closing_next)

    def aggregate(self, batch: Batch, out: Results, late: list[int]) -> None:
        if self._window.size_ms == self._window.advance_ms:
            self._tumble(batch, out, late)
        else:
            self._hop(batch, out, late)

    def _tumble(self, batch: Batch, out: Results, late: list[int]) -> None:
        """One window for each event: the loop that most windowed apps spend their time in."""
        size, grace, on_close, opened = self._window.size_ms, self._grace_ms, self._on_close, self._open
        get, put, update = self._store.get, self._store.put, self._compiled.update
        stream_time, closing_time = self._stream_time, self.closing_time()
        for row, (key, value, timestamp) in enumerate(zip(batch.keys, batch.values, batch.timestamps, strict=True)):
            if key is None:
                self._context.counts.null_key_dropped += 1
                continue
            if timestamp > stream_time:
                stream_time = timestamp
                if timestamp - grace > closing_time:
                    closing_time = timestamp - grace
                    if self.due(closing_time):
                        self.close_ended(closing_time, out)
            start = timestamp - timestamp % size
            is_open = start in opened
            if not is_open and start + size <= closing_time:
                self._context.counts.late_dropped += 1
                late.append(row)
                continue
            slot = (start, key)
            try:
                state = update(get(slot) if is_open else None, value, timestamp)
                put(slot, state)
            except Exception as error:
                self._context.reject(self._name, error, batch, row)
                continue
            if not is_open:
                self._opens(start)
            if not on_close:
                out.add(key, start, start + size, self._compiled.result(state), state[0], batch, row)
        self._stream_time = stream_time

    def _hop(self, batch: Batch, out: Results, late: list[int]) -> None:
        size, opened, get, update = self._window.size_ms, self._open, self._store.get, self._compiled.update
        for row, (key, value, timestamp) in enumerate(zip(batch.keys, batch.values, batch.timestamps, strict=True)):
            if key is None:
                self._context.counts.null_key_dropped += 1
                continue
            self._stream_time = max(self._stream_time, timestamp)
            closing_time = self.closing_time()
            if self.due(closing_time):
                self.close_ended(closing_time, out)
            covering = self._window.starts(timestamp)
            starts = [start for start in covering if start + size > closing_time]
            self._context.counts.late_dropped += len(covering) - len(starts)
            if not starts:
                late.append(row)
            try:
                states = [update(get((start, key)) if start in opened else None, value, timestamp) for start in starts]
                for start, state in zip(starts, states, strict=True):
                    self._store.put((start, key), state)
            except Exception as error:
                self._context.reject(self._name, error, batch, row)
                continue
            for start, state in zip(starts, states, strict=True):
                if start not in opened:
                    self._opens(start)
                if not self._on_close:
                    out.add(key, start, start + size, self._compiled.result(state), state[0], batch, row)

    def _opens(self, start: int) -> None:
        self._open.add(start)
        heappush(self._closing_next, start)

    def due(self, closing_time: int) -> bool:
        return bool(self._closing_next) and self._closing_next[0] + self._window.size_ms <= closing_time

    def close_ended(self, closing_time: int, out: Results) -> None:
        """Closes the windows in order of their starts and then encoded keys."""
        store, size, result = self._store, self._window.size_ms, self._compiled.result
        while self._closing_next and self._closing_next[0] + size <= closing_time:
            start = heappop(self._closing_next)
            self._open.discard(start)
            entries = list(store.range(prefix(start), prefix(start + 1)))
            for slot, state in entries:
                if self._on_close:
                    out.add(slot[1], start, start + size, result(state), state[0], None, 0)
                store.delete(slot)
            self._context.counts.windows_closed += len(entries)

    def last_end(self) -> int:
        return max(self._open) + self._window.size_ms if self._open else -1

    def _stored_starts(self) -> list[int]:
        """The starts of the open windows of a restored store, in order: one seek for each, whatever keys they have."""
        starts: list[int] = []
        position = prefix(0)
        while (entry := next(self._store.range(position, NEVER), None)) is not None:
            starts.append(entry[0][0])
            position = prefix(entry[0][0] + 1)
        return starts
