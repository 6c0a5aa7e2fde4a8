"""The aggregation over tumbling and hopping windows.

A window is half-open: it holds the events with start <= timestamp < end. It closes when stream time >= end + grace.
State is kept under the window's start and the event's key.
"""

from __future__ import annotations

from heapq import heappop, heappush

from ottla.aggregations import Compiled
from ottla.serdes import Codec, state_codec_for
from ottla.state.panes import Pane, PaneCache
from ottla.state.store import StoreSpec
from ottla.task.batch import Batch
from ottla.task.processor import Processor, TaskContext
from ottla.task.slots import NEVER, prefix, slot_spec
from ottla.windows.definitions import Window
from ottla.windows.processor import Aggregate, WindowedAggregation
from ottla.windows.results import Results

_NEVER_MS = (1 << 63) - 1


def fixed_spec(app_id: str, name: str, key: Codec[object], compiled: Compiled) -> StoreSpec:
    """The store of an aggregation over tumbling or hopping windows."""
    state = state_codec_for(int | compiled.state_type)
    return slot_spec(app_id, name, key, state.encode, state.decode, panes=True)


class FixedAggregation(WindowedAggregation):
    """Aggregates over windows that lie where their definition says, whatever events come."""

    def __init__(self, context: TaskContext, aggregate: Aggregate, window: Window, late: Processor | None) -> None:
        super().__init__(context, aggregate, window.grace_ms, window.idle_ms, late)
        assert isinstance(self._store, PaneCache), "the spec of fixed windows makes such a cache"
        self._panes: PaneCache = self._store
        self._window = window
        # The starts of the open windows, in order (already a heap), and what is in each.
        self._closing_next = self._stored_starts()
        self._open = {start: self._panes.pane(start) for start in self._closing_next}

    def aggregate(self, batch: Batch, out: Results, late: list[int]) -> None:
        if self._window.size_ms != self._window.advance_ms:
            self._hop(batch, out, late)
        elif not (self._on_close and self._fold(batch)):
            self._tumble(batch, out, late)

    def _fold(self, batch: Batch) -> bool:
        """Takes a batch that is of one open window and closes none, as nearly every batch of a long window is. Returns
        whether it is such a one."""
        earliest, latest = min(batch.timestamps), max(batch.timestamps)
        start = earliest - earliest % self._window.size_ms
        # Where a key is null, which one seldom is, it is not to count.
        if latest >= min(start + self._window.size_ms, self._closes_at()) or not all(batch.keys):
            return False
        pane = self._pane(start)
        if pane is None:
            return False
        failures = pane.fold(self._compiled.fold, batch.keys, batch.values, batch.timestamps)
        for row, error in sorted(failures.items()):
            self._context.reject(self._name, error, batch, row)
        self._stream_time = max(self._stream_time, latest)
        return True

    def _tumble(self, batch: Batch, out: Results, late: list[int]) -> None:
        """One window for each event."""
        size, on_close, update, result = (
            self._window.size_ms,
            self._on_close,
            self._compiled.update,
            self._compiled.result,
        )
        closes_at, stream_time = self._closes_at(), self._stream_time
        start = end = 0  # of the window that `pane` is of; events of one window mostly follow each other
        for row, (key, value, timestamp) in enumerate(zip(batch.keys, batch.values, batch.timestamps, strict=True)):
            if key is None:
                self._context.counts.null_key_dropped += 1
                continue
            if timestamp > stream_time:
                stream_time = timestamp
                if timestamp >= closes_at:
                    self._stream_time = stream_time
                    self.close_ended(self.closing_time(), out)
                    closes_at = self._closes_at()
                    start = end = 0
            if not start <= timestamp < end:
                self._stream_time = stream_time
                start = timestamp - timestamp % size
                pane = self._pane(start)
                if pane is None:
                    self._context.counts.late_dropped += 1
                    late.append(row)
                    start = end = 0
                    continue
                closes_at = self._closes_at()
                end = start + size
                get, put = pane.get, pane.put
            try:
                state = update(get(key), value, timestamp)
                put(key, state)
            except Exception as error:
                self._context.reject(self._name, error, batch, row)
                continue
            if not on_close:
                out.add(key, start, end, result(state), state[0], batch, row)
        self._stream_time = stream_time

    def _hop(self, batch: Batch, out: Results, late: list[int]) -> None:
        """Several windows for each event."""
        size, on_close, update, result = (
            self._window.size_ms,
            self._on_close,
            self._compiled.update,
            self._compiled.result,
        )
        closes_at, stream_time = self._closes_at(), self._stream_time
        begin = end = closed = 0  # between these times events are in the windows of `panes`, and in `closed` others
        panes: dict[int, Pane] = {}
        for row, (key, value, timestamp) in enumerate(zip(batch.keys, batch.values, batch.timestamps, strict=True)):
            if key is None:
                self._context.counts.null_key_dropped += 1
                continue
            if timestamp > stream_time:
                stream_time = timestamp
                if timestamp >= closes_at:
                    self._stream_time = stream_time
                    self.close_ended(self.closing_time(), out)
                    closes_at = self._closes_at()
                    begin = end = 0
            if not begin <= timestamp < end:
                self._stream_time = stream_time
                covering, begin, end = self._window.covering(timestamp)
                panes = {start: pane for start in covering if (pane := self._pane(start)) is not None}
                closed = len(covering) - len(panes)
                closes_at = self._closes_at()
            self._context.counts.late_dropped += closed
            if not panes:
                late.append(row)
                continue
            try:
                states = [update(pane.get(key), value, timestamp) for pane in panes.values()]
                for pane, state in zip(panes.values(), states, strict=True):
                    pane.put(key, state)
            except Exception as error:
                self._context.reject(self._name, error, batch, row)
                continue
            if not on_close:
                for start, state in zip(panes, states, strict=True):
                    out.add(key, start, start + size, result(state), state[0], batch, row)
        self._stream_time = stream_time

    def _pane(self, start: int) -> Pane | None:
        """What is in a window, which opens with that if it was not open; None if it is closed."""
        pane = self._open.get(start)
        if pane is None and start + self._window.size_ms > self.closing_time():
            pane = self._open[start] = self._panes.new_pane(start)
            heappush(self._closing_next, start)
        return pane

    def _closes_at(self) -> int:
        """The stream time at which the next window closes."""
        return self._closing_next[0] + self._window.size_ms + self._grace_ms if self._closing_next else _NEVER_MS

    def due(self, closing_time: int) -> bool:
        return bool(self._closing_next) and self._closing_next[0] + self._window.size_ms <= closing_time

    def close_ended(self, closing_time: int, out: Results) -> None:
        """Closes the windows in order of their starts and then encoded keys."""
        size = self._window.size_ms
        while self._closing_next and self._closing_next[0] + size <= closing_time:
            start = heappop(self._closing_next)
            keys, states = self._open.pop(start).take()
            if self._on_close:
                out.add_closed(start, start + size, keys, states, self._compiled.result)
            self._context.counts.windows_closed += len(keys)

    def last_end(self) -> int:
        # One is empty if the only event in it failed.
        return max(
            (start + self._window.size_ms for start, pane in self._open.items() if not pane.is_empty), default=-1
        )

    def _stored_starts(self) -> list[int]:
        """The starts of the open windows of a restored store, in order: one seek for each, whatever keys they have."""
        starts: list[int] = []
        position = prefix(0)
        while (entry := next(self._store.range(position, NEVER), None)) is not None:
            starts.append(entry[0][0])
            position = prefix(entry[0][0] + 1)
        return starts
