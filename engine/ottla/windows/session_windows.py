"""The aggregation over sessions, record by record as Kafka Streams' `KStreamSessionWindowAggregate` (KIP-94).

State is two things: under each key the list of its open sessions, in order; and, so that the end of a session is
found without looking at all keys, under a time and a key a mark that a session of the key may end by then. A mark is as
old as the session was when it was made: each key has one that is not after the end of its earliest session, and is
looked at again when it is due. So an event that makes a session longer writes one list and no mark.
"""

from __future__ import annotations

from typing import Any

from ottla.aggregations import Compiled, State
from ottla.serdes import Codec, state_codec_for
from ottla.state.store import StoreSpec
from ottla.task.agenda import Agenda
from ottla.task.batch import Batch
from ottla.task.processor import Processor, TaskContext
from ottla.task.slots import prefix, slot_spec
from ottla.windows.definitions import SessionWindow
from ottla.windows.processor import Aggregate, WindowedAggregation
from ottla.windows.results import Results

Session = tuple[int, State]
"""The time of a session's first event, and its state, whose first slot is the time of its last."""

_SESSIONS = -3
_MARK = 0


def session_spec(app_id: str, name: str, key: Codec[Any], compiled: Compiled) -> StoreSpec:
    """The store of an aggregation over sessions."""
    state = state_codec_for(int | list[tuple[int, compiled.state_type]])  # type: ignore[name-defined]
    return slot_spec(app_id, name, key, state.encode, state.decode)


class SessionAggregation(WindowedAggregation):
    """Aggregates the events of a key between pauses that are longer than the gap.

    A session is closed when stream time is more than gap and grace after its end. An event is late when it would be a
    session that is closed already, and no open one is near it.
    """

    def __init__(
        self, context: TaskContext, aggregate: Aggregate, window: SessionWindow, late: Processor | None
    ) -> None:
        super().__init__(context, aggregate, window.gap_ms + window.grace_ms, window.idle_ms, late)
        assert aggregate.compiled.merge is not None, "sessions can only be of aggregations that merge"
        self._merge = aggregate.compiled.merge
        self._gap_ms = window.gap_ms
        self._marks = Agenda(self._store, self._grace_ms // 32)

    def aggregate(self, batch: Batch, out: Results, late: list[int]) -> None:
        for row, (key, value, timestamp) in enumerate(zip(batch.keys, batch.values, batch.timestamps, strict=True)):
            if key is None:
                self._context.counts.null_key_dropped += 1
                continue
            if timestamp > self._stream_time:
                self._stream_time = timestamp
                if self.due(self.closing_time()):
                    self.close_ended(self.closing_time(), out)
            try:
                self._add(key, value, timestamp, batch, row, out, late)
            except Exception as error:
                self._context.reject(self._name, error, batch, row)

    def _add(self, key: Any, value: Any, timestamp: int, batch: Batch, row: int, out: Results, late: list[int]) -> None:
        slot = (_SESSIONS, key)
        sessions: list[Session] = self._store.get(slot) or []
        first, end = self._near(sessions, timestamp)
        near = sessions[first:end]
        if not near and timestamp < self.closing_time():
            self._context.counts.late_dropped += 1
            late.append(row)
            return
        merged: State | None = None
        for _, state in near:
            merged = state if merged is None else self._merge(merged, state)
        merged = self._compiled.update(merged, value, timestamp)
        start = min(timestamp, near[0][0]) if near else timestamp
        self._store.put(slot, [*sessions[:first], (start, merged), *sessions[end:]])
        if first == 0 and not near:
            self._marks.put(merged[0], key, _MARK)
        if self._on_close:
            return
        if (start, merged[0]) != (timestamp, timestamp):
            for old_start, (old_end, *_) in near:
                out.add(key, old_start, old_end, None, old_end, batch, row)
        out.add(key, start, merged[0], self._compiled.result(merged), merged[0], batch, row)

    def _near(self, sessions: list[Session], timestamp: int) -> tuple[int, int]:
        """Which sessions the event belongs to: those with no more than the gap between it and them, from - to."""
        earliest_end, latest_start = timestamp - self._gap_ms, timestamp + self._gap_ms
        end = len(sessions)
        while end and sessions[end - 1][0] > latest_start:
            end -= 1
        first = end
        while first and sessions[first - 1][1][0] >= earliest_end:
            first -= 1
        return first, end

    def due(self, closing_time: int) -> bool:
        return self._marks.due(closing_time)

    def close_ended(self, closing_time: int, out: Results) -> None:
        """Closes the sessions in the order of their ends, starts and encoded keys."""
        store = self._store
        closed: list[tuple[int, int, bytes, Any, State]] = []
        for _, key, _ in list(self._marks.take(closing_time)):
            sessions: list[Session] = store.get((_SESSIONS, key)) or []
            still_open = [each for each in sessions if each[1][0] >= closing_time]
            ended = sessions[: len(sessions) - len(still_open)]
            encoded = store.spec.encode_key((_SESSIONS, key))
            closed += [(state[0], start, encoded, key, state) for start, state in ended]
            if still_open:
                store.put((_SESSIONS, key), still_open)
                self._marks.put(still_open[0][1][0], key, _MARK)
            else:
                store.delete((_SESSIONS, key))
        self._context.counts.windows_closed += len(closed)
        if self._on_close:
            for end, start, _, key, state in sorted(closed, key=lambda each: each[:3]):
                out.add(key, start, end, self._compiled.result(state), end, None, 0)

    def last_end(self) -> int:
        lists = (sessions for slot, sessions in self._store.range(prefix(_SESSIONS), prefix(_SESSIONS + 1)))
        return max((sessions[-1][1][0] + 1 for sessions in lists), default=-1)
