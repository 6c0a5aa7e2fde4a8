"""The aggregation over tumbling and hopping windows.

It has a stream time, the largest timestamp that reached it with any key of its partition; a window closes when stream
time >= end + grace, and an event whose windows are closed is late: dropped and counted.

State is kept under the window's start, 8 bytes big-endian, and then the key. The windows of one start are
neighbours in the store, so that closing reads exactly what it emits, ordered by start and then key, and never scans
what stays open.
"""

from __future__ import annotations

from heapq import heappop, heappush
from struct import Struct
from typing import Any

from ottla.aggregations import Compiled
from ottla.batch import Batch
from ottla.processor import Processor, TaskContext
from ottla.serde import Codec, state_codec_for
from ottla.state.store import StoreSpec
from ottla.windows.definitions import Emit, Window, Windowed

Slot = tuple[int, Any]
"""A window's start and the event's key: the key of the state."""

# What the aggregation itself remembers, under starts that no window has; encoded they sort behind every window.
_STREAM_TIME: Slot = (-2, None)
_CLOSED_UP_TO: Slot = (-1, None)
_NEVER = 1 << 62

_prefix = Struct(">q").pack
"""A start as the first bytes of a state's key, in an order that is that of the starts from 0 on."""


def window_spec(app_id: str, name: str, key: Codec[Any], compiled: Compiled) -> StoreSpec:
    """The store of a windowed aggregation."""
    encode, decode = key.encode, key.decode
    state = state_codec_for(int | compiled.state_type)

    def encode_key(slot: Slot) -> bytes:
        start, inner = slot
        return _prefix(start) if inner is None else _prefix(start) + encode(inner)

    def decode_key(data: bytes) -> Slot:
        start = int.from_bytes(data[:8], "big", signed=True)
        return start, None if start < 0 else decode(data[8:])

    return StoreSpec(name, f"{app_id}-{name}-changelog", encode_key, decode_key, state.encode, state.decode)


class WindowedAggregation(Processor):
    """Aggregates events per key and window, and emits `Windowed` results on close or on every update.

    A result's time is the newest timestamp in its window, as in Kafka Streams.
    """

    def __init__(
        self, context: TaskContext, name: str, store: str, window: Window, compiled: Compiled, emit: Emit
    ) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._store = context.stores[store]
        self._window = window
        self._compiled = compiled
        self._on_close = emit == "close"
        self._stream_time: int = self._store.get(_STREAM_TIME, -1)
        # Windows that ended by then are closed for good, even if they were closed by the end of the input.
        self._closed_up_to: int = self._store.get(_CLOSED_UP_TO, -1)
        # The starts of the open windows, in order (already a heap), and for look-ups.
        self._closing_next = self._stored_starts()
        self._open = set(self._closing_next)

    async def receive(self, batch: Batch) -> None:
        out = _Results()
        self._aggregate(batch, out)
        self._store.put(_STREAM_TIME, self._stream_time)
        await self.forward(out.batch())

    async def end_of_input(self) -> None:
        if self._open:
            out = _Results()
            self._close(max(self._open) + self._window.size_ms, out)
            await self.forward(out.batch())

    def _aggregate(self, batch: Batch, out: _Results) -> None:
        window, update, result = self._window, self._compiled.update, self._compiled.result
        size, advance, grace = window.size_ms, window.advance_ms, window.grace_ms
        get, put, opened = self._store.get, self._store.put, self._open
        closing_next, on_close, tumbles = self._closing_next, self._on_close, size == advance
        stream_time = self._stream_time
        close_time = max(stream_time - grace, self._closed_up_to)
        for row, (key, value, timestamp) in enumerate(zip(batch.keys, batch.values, batch.timestamps, strict=True)):
            if key is None:
                self._context.counts.null_key_dropped += 1
                continue
            if timestamp > stream_time:
                stream_time = timestamp
                if stream_time - grace > close_time:
                    close_time = stream_time - grace
            for start in (timestamp - timestamp % size,) if tumbles else window.starts(timestamp):
                if start + size <= close_time:
                    self._context.counts.late_dropped += 1
                    continue
                slot = (start, key)
                try:
                    state = update(get(slot) if start in opened else None, value, timestamp)
                    put(slot, state)
                except Exception as error:
                    self._context.reject(self._name, error, batch, row)
                    break
                if start not in opened:
                    opened.add(start)
                    heappush(closing_next, start)
                if not on_close:
                    out.add(key, start, start + size, result(state), state[0], batch, row)
            if closing_next and closing_next[0] + size <= close_time:
                self._close(close_time, out)
        self._stream_time = stream_time

    def _close(self, close_time: int, out: _Results) -> None:
        """Closes the windows that end at `close_time` or before, in order of their starts and then keys."""
        store, size, result = self._store, self._window.size_ms, self._compiled.result
        while self._closing_next and self._closing_next[0] + size <= close_time:
            start = heappop(self._closing_next)
            self._open.discard(start)
            entries = list(store.range(_prefix(start), _prefix(start + 1)))
            for slot, state in entries:
                if self._on_close:
                    out.add(slot[1], start, start + size, result(state), state[0], None, 0)
                store.delete(slot)
            self._context.counts.windows_closed += len(entries)
            self._closed_up_to = start + size
        store.put(_CLOSED_UP_TO, self._closed_up_to)

    def _stored_starts(self) -> list[int]:
        """The starts of the open windows of a restored store, in order: one seek for each, whatever keys they have."""
        starts: list[int] = []
        position = _prefix(0)
        while (entry := next(self._store.range(position, _prefix(_NEVER)), None)) is not None:
            starts.append(entry[0][0])
            position = _prefix(entry[0][0] + 1)
        return starts


class _Results:
    """Results in the making, column by column."""

    __slots__ = ("keys", "origins", "timestamps", "values")

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.values: list[Any] = []
        self.timestamps: list[int] = []
        self.origins: list[Any] = []

    def add(self, key: Any, start: int, end: int, value: Any, timestamp: int, batch: Batch | None, row: int) -> None:
        self.keys.append(key)
        self.values.append(Windowed(key, start, end, value))
        self.timestamps.append(timestamp)
        self.origins.append(None if batch is None else batch.origins[row])

    def batch(self) -> Batch:
        return Batch(self.keys, self.values, self.timestamps, self.origins)
