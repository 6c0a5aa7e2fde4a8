"""What could not be written of late, so that the next attempt knows which event is at fault.

A broker refuses a commit as a whole: nobody says which record it was. So the worker asks for the limits of the topics
that it writes, goes back to its last commit, and for a while the steps hold every record against them while it is known
what it was made of.

State is encoded once, at the commit, when many events may have written it. If that fails, the task goes back and looks
closely for a while: agents are given event after event, and what each of them wrote to tables is encoded at once, so
that the one at fault fails as if the agent had raised. What punctuators write is looked at from then on for good.

What other steps keep (windows, aggregates) is not seen so. If it is that, the task takes an eighth of the events until
its next commit, and so on; the eighth that fails is divided in its turn, until it is one event, which is rejected
without being processed. Behind those that failed the task takes eight times as many with every commit again. So nothing
is looked at event by event as long as all goes well, and the state is that of the event before.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ottla.errors import EncodeError, RecordRefused, RecordTooLarge
from ottla.transport.contract import OutputRecord, TopicLimits, TopicPartition

if TYPE_CHECKING:
    from ottla.topology.topology import TaskId

_HELD_MS = 60_000
"""Limits can be raised: after so long they are forgotten, and learnt anew from the next refusal."""

_CLOCKS_DIFFER_MS = 300_000


_PARTS = 8
"""Going back costs several commits, so that more parts than two are faster, which take more commits."""

_ENOUGH_EVENTS = 10_000

_AROUND_A_RECORD = 100
"""What a batch of one record has besides the key, value and headers, at most."""


class StateRefused(EncodeError):  # noqa: N818
    """State of a task cannot be written, as `error` says.

    `step` is one that writes it. The task has processed `events` since its last commit, the last of which is the one at
    `offset` of `where`; it is `proven` if that one is known to be at fault.
    """

    def __init__(
        self,
        error: EncodeError,
        task: TaskId,
        step: str,
        events: int,
        where: TopicPartition | None,
        offset: int,
        *,
        proven: bool = False,
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.task = task
        self.step = step
        self.events = events
        self.where = where
        self.offset = offset
        self.proven = proven


class Refusals:
    """Shared by the tasks of a worker. `now_ms` is the worker's clock."""

    def __init__(self) -> None:
        self._limits: Mapping[str, TopicLimits] = {}
        self._until_ms = 0
        self._slack_ms = 0
        # For how many events more a task is looked at closely; none of those that were once is ever left out.
        self._close: dict[TaskId, int] = {}
        # How many events a task may take until its next commit, how many more there are among which one is at fault,
        # and the events that it is found not to get past.
        self._most: dict[TaskId, int] = {}
        self._suspects: dict[TaskId, int] = {}
        self._faults: dict[TaskId, dict[tuple[TopicPartition | None, int], StateRefused]] = {}

    # -- state

    def narrow(self, refused: StateRefused) -> None:
        """The task is looked at closely from now on; or if it was, takes fewer events; or if it took but one, will
        reject that.

        Raises the error if it is not the events that are at fault: there was none, or it was rejected.
        """
        task, at = refused.task, (refused.where, refused.offset)
        faults = self._faults.setdefault(task, {})
        if refused.proven:
            faults[at] = refused
        elif not self.looks_closely(task):
            self._close[task] = _ENOUGH_EVENTS
        elif refused.events == 0 or (refused.events == 1 and at in faults):
            raise refused.error
        else:
            self._most[task] = max(refused.events // _PARTS, 1)
            self._suspects[task] = refused.events
            if refused.events == 1:
                faults[at] = refused

    def is_searching(self, task: TaskId) -> bool:
        """Whether an event at fault is being looked for."""
        return task in self._most or self.looks_closely(task)

    def looks_closely(self, task: TaskId) -> bool:
        """Whether what each event of the task writes to tables is to be looked at."""
        return self._close.get(task, 0) > 0

    def has_refused(self, task: TaskId) -> bool:
        """Whether state of the task could not be written before."""
        return task in self._close

    def most_events(self, task: TaskId) -> int | None:
        """How many events the task may take until its next commit; None for any number."""
        return self._most.get(task)

    def faults(self, task: TaskId, where: TopicPartition) -> Mapping[int, StateRefused]:
        """The offsets of the events of the task that are to be rejected, and why."""
        found = self._faults.get(task)
        return {offset: fault for (of, offset), fault in found.items() if of == where} if found else {}

    def committed(self, task: TaskId, events: int) -> None:
        """What the task did with so many events is written."""
        self._faults.pop(task, None)
        if self.looks_closely(task):
            self._close[task] = max(self._close[task] - events, 0)
        if task not in self._most:
            return
        self._suspects[task] -= events
        if self._suspects[task] > 0:
            return
        self._most[task] *= _PARTS
        if self._most[task] > _ENOUGH_EVENTS:
            del self._most[task], self._suspects[task]

    # -- records

    def learn(self, limits: Mapping[str, TopicLimits], now_ms: int) -> None:
        """A record was refused; these are the limits of the topics that may have done so.

        If that happens although limits are known, the broker's clock is another than the worker's: some minutes less
        are then taken for too far.
        """
        self._slack_ms = _CLOCKS_DIFFER_MS if self._holds(now_ms) else 0
        self._limits, self._until_ms = limits, now_ms + _HELD_MS

    def concern(self, topic: str, now_ms: int) -> bool:
        """Whether records for the topic are to be checked."""
        return bool(self._limits) and self._holds(now_ms) and topic in self._limits

    def takes_time(self, topic: str, timestamp_ms: int, now_ms: int) -> bool:
        """Whether the topic takes a record of this time, as far as is known."""
        if not self.concern(topic, now_ms):
            return True
        limits = self._limits[topic]
        ahead_ms = timestamp_ms - now_ms
        return self._slack_ms - limits.before_ms <= ahead_ms <= limits.after_ms - self._slack_ms

    def largest(self, topic: str, now_ms: int) -> int:
        """How many bytes a record's key, value and headers may have, as far as is known."""
        return max(self._limits[topic].max_bytes - _AROUND_A_RECORD, 0) if self.concern(topic, now_ms) else sys.maxsize

    def check(self, record: OutputRecord, now_ms: int) -> None:
        """Raises `RecordRefused` or `RecordTooLarge` for a record that its topic refuses."""
        if not self.concern(record.topic, now_ms):
            return
        topic = record.topic
        size = len(record.key or b"") + len(record.value or b"")
        size += sum(len(name) + len(value or b"") for name, value in record.headers or ())
        if size > self.largest(topic, now_ms):
            raise RecordTooLarge(
                f"topic {topic!r} refuses a record of {size} bytes: raise its max.message.bytes, or make it smaller"
            )
        if not self.takes_time(topic, record.timestamp_ms, now_ms):
            seconds = (record.timestamp_ms - now_ms) / 1000
            side, setting = ("ahead of", "after") if seconds > 0 else ("behind", "before")
            raise RecordRefused(
                f"topic {topic!r} refuses a record whose time is {abs(seconds):.0f} s {side} the clock: raise its "
                f"message.timestamp.{setting}.max.ms"
            )
        if record.key is None and self._limits[topic].needs_key:
            raise RecordRefused(f"topic {topic!r} is compacted, and refuses a record without a key")

    def _holds(self, now_ms: int) -> bool:
        return now_ms < self._until_ms
