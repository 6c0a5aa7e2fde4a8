"""Punctuators: functions that a task calls as time goes on, with its tables at hand, in its transaction.

By stream time as Kafka Streams' `PunctuationType.STREAM_TIME`: with the task's first event, and then whenever an
event's time reaches the next multiple of the interval, after that event was processed. By wall clock: an interval after
the task began, and then at that beat. However far the time jumps, it is one call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal

from ottla.errors import ConfigError, TopologyError
from ottla.naming import name_of
from ottla.tables import Table
from ottla.task.batch import Batch
from ottla.task.processor import Place, Processor, TaskContext
from ottla.time import Duration, duration_ms
from ottla.topology.graph import Graph

PunctuationTime = Literal["stream", "wall"]


class Punctuator(Processor):
    """Calls a function with the time. One that raises is tried again and rejected as an event would be."""

    def __init__(self, context: TaskContext, name: str, function: Callable[..., Any], every_ms: int) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._call = _of_time(function)
        self._every_ms = every_ms

    async def receive(self, batch: Batch) -> None:
        """Its parent only says in which tasks it is: events are none of its business."""

    async def _punctuate(self, now_ms: int) -> None:
        context = self._context
        moment = Batch([None], [now_ms], [now_ms], [None])
        policy = context.policy_at(self._name)
        outer, context.cursor = context.cursor, Place(moment, 0)
        try:
            for attempt in range(1, policy.retries + 2):
                try:
                    done = self._call(now_ms)
                    if inspect.isawaitable(done):
                        await done
                    if context.refusals.has_refused(context.task):
                        context.check_written()
                    break
                except Exception as error:
                    context.take_back(0)
                    if attempt > policy.retries:
                        context.reject(self._name, error, moment, 0)
                    else:
                        context.counts.retried += 1
                        await context.sleep(policy.backoff_before(attempt))
        finally:
            context.cursor = outer
        await context.settle(moment)


class StreamTimePunctuator(Punctuator):
    """Called by the task, which knows its stream time. `due_ms` is when."""

    def __init__(self, context: TaskContext, name: str, function: Callable[..., Any], every_ms: int) -> None:
        super().__init__(context, name, function, every_ms)
        self.due_ms = 0

    async def reached(self, stream_time_ms: int) -> None:
        if stream_time_ms >= self.due_ms:
            self.due_ms = (stream_time_ms // self._every_ms + 1) * self._every_ms
            await self._punctuate(stream_time_ms)


class WallClockPunctuator(Punctuator):
    """Called as time goes on, whatever the events' times are, and whoever sets the clock."""

    def __init__(self, context: TaskContext, name: str, function: Callable[..., Any], every_ms: int) -> None:
        super().__init__(context, name, function, every_ms)
        self._due_ms: int | None = None

    async def advance(self) -> None:
        elapsed_ms = self._context.elapsed_ms
        if self._due_ms is None:
            self._due_ms = elapsed_ms + self._every_ms
        if elapsed_ms >= self._due_ms:
            self._due_ms += self._every_ms * ((elapsed_ms - self._due_ms) // self._every_ms + 1)
            await self._punctuate(self._context.now_ms)


def add_punctuator(
    graph: Graph,
    function: Callable[..., Any],
    every: Duration,
    time: PunctuationTime,
    *,
    after: str | None,
    name: str | None,
    uses: Sequence[Table[Any, Any]],
) -> None:
    """Adds a punctuator to the tasks that hold its tables, or that have the step `after`. Raises `ConfigError`,
    `TopologyError`."""
    step = name_of("a punctuator", function, name)
    every_ms = duration_ms(every, "punctuate(every=)")
    if every_ms < 1:
        raise ConfigError("punctuate(every=) must be at least a millisecond")
    if time not in ("stream", "wall"):
        raise ConfigError(f'punctuate(time={time!r}) is unknown; it is "stream" or "wall"')
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TopologyError(f"punctuator {step!r} must not yield: what it has to say it sends to a topic")
    kind = StreamTimePunctuator if time == "stream" else WallClockPunctuator
    graph.add(
        step,
        "punctuator",
        lambda context, label: kind(context, label, function, every_ms),
        parents=() if after is None else (after,),
        awaited=(function,),
        tables=tuple(uses),
        detail=f"every {every_ms} ms of {'stream time' if time == 'stream' else 'the wall clock'}",
    )


def _of_time(function: Callable[..., Any]) -> Callable[[int], Any]:
    return function if inspect.signature(function).parameters else lambda _: function()
