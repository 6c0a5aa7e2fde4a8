"""The aggregation over sliding windows, record by record as Kafka Streams' `KStreamSlidingWindowAggregate` (KIP-450).

Each event of a key has a left window, which ends with it, and a right one, which begins a millisecond after it; a
window exists once an event is in it. An event therefore changes the windows around it, and makes at most three: its own
two, and the right one of the event before it. What is in a new window is known from the windows beside it, so that
events themselves are not kept.

State is two things: under a stretch of time as long as a window, and a key, the windows of the key that begin there, in
order; and under the start of each open window and its key a mark, so that windows close in order without looking at
others. Windows are kept after they closed as long as an event may come whose windows have to be made from them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from operator import itemgetter
from typing import Any

from ottla.aggregations import Compiled, State
from ottla.serdes import Codec, state_codec_for
from ottla.state.store import StoreSpec
from ottla.task.agenda import Agenda
from ottla.task.batch import Batch
from ottla.task.processor import Processor, TaskContext
from ottla.task.slots import prefix, slot_spec
from ottla.windows.definitions import SlidingWindow
from ottla.windows.processor import Aggregate, WindowedAggregation
from ottla.windows.results import Results

Opened = tuple[int, State]
"""The start of a window, and its state, whose first slot is the newest time in it."""

_MARK = 0
_FIRST_STRETCH = -3
"""Stretch n is kept under the time _FIRST_STRETCH - n."""
_FARTHEST = -(1 << 63)

_start = itemgetter(0)


def sliding_spec(app_id: str, name: str, key: Codec[Any], compiled: Compiled) -> StoreSpec:
    """The store of an aggregation over sliding windows."""
    state = state_codec_for(int | list[tuple[int, compiled.state_type]])  # type: ignore[name-defined]
    return slot_spec(app_id, name, key, state.encode, state.decode)


class SlidingAggregation(WindowedAggregation):
    """Aggregates the events of a key that are no further apart than the difference.

    A window is closed when stream time is more than the grace after its end. An event is late when its right window
    would be closed.
    """

    def __init__(
        self, context: TaskContext, aggregate: Aggregate, window: SlidingWindow, late: Processor | None
    ) -> None:
        super().__init__(context, aggregate, window.grace_ms, window.idle_ms, late)
        self._difference_ms = window.difference_ms
        self._marks = Agenda(self._store, (window.difference_ms + window.grace_ms) // 32)
        self._stretches = self._stored_stretches()
        self._known_stretches = set(self._stretches)

    def aggregate(self, batch: Batch, out: Results, late: list[int]) -> None:
        counts, difference = self._context.counts, self._difference_ms
        for row, (key, value, timestamp) in enumerate(zip(batch.keys, batch.values, batch.timestamps, strict=True)):
            if key is None:
                counts.null_key_dropped += 1
                continue
            if value is None:
                counts.null_value_dropped += 1
                continue
            if timestamp > self._stream_time:
                self._stream_time = timestamp
                if self.due(self.closing_time()):
                    self.close_ended(self.closing_time(), out)
            closing_time = self.closing_time()
            if timestamp + difference < closing_time:
                counts.late_dropped += 1
                late.append(row)
                continue
            try:
                # All is computed before anything is changed, so that an event that fails leaves no trace.
                changes = list(self._changes(key, value, timestamp, closing_time))
                self._apply(key, changes)
            except Exception as error:
                self._context.reject(self._name, error, batch, row)
                continue
            if not self._on_close:
                for start, state in changes:
                    out.add(key, start, start + difference, self._compiled.result(state), state[0], batch, row)

    def _changes(self, key: Any, value: Any, timestamp: int, closing_time: int) -> Iterator[Opened]:
        """The windows that an event changes or makes, in the order in which they are emitted, as they are with it."""
        windows = self._around if timestamp >= self._difference_ms else self._around_early
        for start, state, takes in windows(key, timestamp):
            if start + self._difference_ms < closing_time:
                self._context.counts.late_dropped += 1
            elif takes:
                yield start, self._compiled.update(state, value, timestamp)
            elif state is not None:
                yield start, state

    def _around(self, key: Any, timestamp: int) -> Iterator[tuple[int, State | None, bool]]:
        """The windows around an event: start, state before it, and whether the event is in it."""
        difference = self._difference_ms
        left: State | None = None  # What the event's own left window begins with, and its right window.
        right: State | None = None
        has_left = has_right = False
        previous = -1  # The time of the event before it.
        starts = set()
        for start, state in self._windows(key, max(0, timestamp - 2 * difference), timestamp + 1):
            starts.add(start)
            end = start + difference
            if start == timestamp + 1:
                has_right = True
            elif end > timestamp:
                if right is None:
                    right = state
                yield start, state, True
            elif end == timestamp:
                has_left = True
                yield start, state, True
                if state[0] == timestamp:
                    return  # An event of the same time came before and made all windows.
                previous = state[0]
            else:
                left, previous = state, state[0]
                break
        if previous >= 0 and previous + 1 not in starts and previous + 1 + difference >= timestamp:
            yield previous + 1, None, True
        if not has_left:
            yield timestamp - difference, left if 0 <= timestamp - difference <= previous else None, True
        if not has_right and right is not None and right[0] > timestamp:
            yield timestamp + 1, right, False

    def _around_early(self, key: Any, timestamp: int) -> Iterator[tuple[int, State | None, bool]]:
        """The same for an event whose left window would begin before the epoch: all such share the window at 0."""
        first: State | None = None
        right: State | None = None
        has_right = False
        starts = set()
        for start, state in reversed(list(self._windows(key, 0, timestamp + 1))):
            starts.add(start)
            if start == 0:
                first = state
            elif start <= timestamp:
                right = state
                yield start, state, True
            else:
                has_right = True
        if right is None:
            right = first
        if not has_right and right is not None and right[0] > timestamp:
            yield timestamp + 1, right, False
        if first is not None and first[0] < timestamp and first[0] + 1 not in starts:
            yield first[0] + 1, None, True
        yield 0, first, True

    def _windows(self, key: Any, earliest: int, latest: int) -> Iterator[Opened]:
        """The windows of a key that start between the two, the latest first."""
        for stretch in range(latest // self._difference_ms, earliest // self._difference_ms - 1, -1):
            windows: list[Opened] | None = self._store.get((_FIRST_STRETCH - stretch, key))
            if windows:
                low = bisect_left(windows, earliest, key=_start)
                yield from reversed(windows[low : bisect_right(windows, latest, key=_start)])

    def _apply(self, key: Any, changes: list[Opened]) -> None:
        for start, state in changes:
            stretch = start // self._difference_ms
            slot = (_FIRST_STRETCH - stretch, key)
            windows = self._store.get(slot) or []
            place = bisect_left(windows, start, key=_start)
            if place < len(windows) and windows[place][0] == start:
                windows[place] = (start, state)
            else:
                windows.insert(place, (start, state))
                self._opens(start, stretch, key)
            self._store.put(slot, windows)

    def _opens(self, start: int, stretch: int, key: Any) -> None:
        if stretch not in self._known_stretches:
            self._known_stretches.add(stretch)
            heappush(self._stretches, stretch)
        if self._on_close:
            self._marks.put(start, key, _MARK)

    def due(self, closing_time: int) -> bool:
        if self._on_close and self._marks.due(closing_time - self._difference_ms):
            return True
        return bool(self._stretches) and self._forgettable(self._stretches[0], closing_time)

    def close_ended(self, closing_time: int, out: Results) -> None:
        """Closes the windows in the order of their starts and encoded keys, and forgets what no event needs."""
        for start, key, _ in self._marks.take(closing_time - self._difference_ms):
            [(_, state)] = self._windows(key, start, start)
            out.add(key, start, start + self._difference_ms, self._compiled.result(state), state[0], None, 0)
            self._context.counts.windows_closed += 1
        while self._stretches and self._forgettable(self._stretches[0], closing_time):
            self._forget(heappop(self._stretches))

    def last_end(self) -> int:
        if not self._stretches:
            return -1
        time = _FIRST_STRETCH - max(self._stretches)
        starts = (windows[-1][0] for _, windows in self._store.range(prefix(time), prefix(time + 1)))
        return int(max(starts)) + self._difference_ms + 1

    def _forgettable(self, stretch: int, closing_time: int) -> bool:
        """Whether no event that is in time can ask for a window of the stretch.

        It asks for those that begin up to twice the difference before it, and comes at most the difference before the
        closing time.
        """
        return (stretch + 1) * self._difference_ms <= closing_time - 3 * self._difference_ms

    def _forget(self, stretch: int) -> None:
        self._known_stretches.discard(stretch)
        time = _FIRST_STRETCH - stretch
        for slot, windows in list(self._store.range(prefix(time), prefix(time + 1))):
            self._store.delete(slot)
            if not self._on_close:
                self._context.counts.windows_closed += len(windows)

    def _stored_stretches(self) -> list[int]:
        """The stretches of a restored store as a heap: one seek for each, whatever keys they have."""
        stretches: list[int] = []
        position = prefix(_FARTHEST)
        while (entry := next(self._store.range(position, prefix(_FIRST_STRETCH + 1)), None)) is not None:
            stretches.append(_FIRST_STRETCH - entry[0][0])
            position = prefix(entry[0][0] + 1)
        heapify(stretches)
        return stretches
