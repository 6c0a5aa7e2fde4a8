"""A running instance of an agent: the coroutine of a user's function, and the stream that it iterates.

An instance lives as long as its task. It iterates its stream with `async for`; inside, the stream is an async generator
over the rows of the current batch, which suspends only when they are used up. What the function awaits itself (a lookup
over HTTP, say) passes through to the worker's event loop; nothing else does, so that an event costs no queue, task or
future.

    process(batch, rows) ── resume ──> it takes row after row, yields results ──> it asks for the next batch: return

So an event counts as processed when the function has asked for the one after it. When it raises, what the event did to
tables, outputs and topics is taken back, and a new coroutine goes on: with the same event if it is to be retried, else
with the next.
"""

from __future__ import annotations

import logging
import types
from asyncio import CancelledError
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, TypeVar, cast

from ottla.agents.answers import Answers
from ottla.errors import TopologyError
from ottla.escapes import is_being_cancelled
from ottla.event import Event, Taken, event_at
from ottla.stream import Stream
from ottla.task.batch import Batch
from ottla.task.processor import TaskContext
from ottla.task.take import checked_take
from ottla.time import Duration
from ottla.topology.graph import Graph

log = logging.getLogger("ottla.agents")

V = TypeVar("V")

Results = tuple[list[int], list[Any]]
"""The values an agent yielded, and for each the row of its batch that it was at."""

_NEXT_BATCH: Final = object()
"""What an agent's coroutine yields when it has used up its batch."""


class _Closed(BaseException):
    """Raised in an agent whose task ends before its input. Unlike GeneratorExit it lets a `finally` await."""


class Attempts:
    """Whether an event that failed is tried again; waits for that."""

    def __init__(self, context: TaskContext, step: str) -> None:
        self._context = context
        self._policy = context.policy_at(step)
        self._row = -1
        self._failures = 0

    def begin(self) -> None:
        """A new batch: its rows are other events."""
        self._row = -1

    async def again(self, row: int) -> bool:
        self._failures = self._failures + 1 if row == self._row else 1
        self._row = row
        if self._failures > self._policy.retries:
            return False
        self._context.counts.retried += 1
        await self._context.sleep(self._policy.backoff_before(self._failures))
        return True


class Instance:
    """One coroutine of an agent in one task. `batch` and `row` say which event it is at: it is a `Cursor`.

    `check` raises for a value that the agent must not yield. `begin_taking` is what `stream.take` in the function does.
    """

    def __init__(
        self,
        context: TaskContext,
        name: str,
        function: Callable[[Stream[Any]], Any],
        source: Stream[Any],
        answers: Answers,
        begin_taking: Callable[[int, int], None],
        check: Callable[[Batch, int, Any], None] | None = None,
    ) -> None:
        self.batch = Batch([], [], [], [])
        self.row = -1
        self.begin_taking = begin_taking
        self._rows: Sequence[int] = range(0)
        self._context = context
        self._name = name
        self._function = function
        self._answers = answers
        self._check = check
        self._stream: Stream[Any] = AgentStream(source, self)
        self._attempts = Attempts(context, name)
        self._coroutine: Any = None
        self._ended = False
        self._yielded: list[Any] = []
        self._yielded_rows: list[int] = []

    @property
    def begun(self) -> bool:
        return self._coroutine is not None

    @property
    def has_yielded(self) -> bool:
        """Whether there are results of the batch at hand already."""
        return bool(self._yielded)

    async def process(self, batch: Batch, rows: Sequence[int]) -> Results:
        """Takes the function through these rows of the batch, and returns what it yielded."""
        self.give(batch, rows)
        return await self.run()

    def give(self, batch: Batch, rows: Sequence[int]) -> None:
        """Puts these rows before the function, in the place of those it has not taken yet."""
        self.batch, self._rows, self.row = batch, rows, -1
        self._attempts.begin()

    async def run(self) -> Results:
        """Resumes the function until it asks for more than the rows; begins it anew when it returned or raised
        before."""
        while True:
            before = self.row
            coroutine, self._coroutine = self._coroutine or self._start(), None
            try:
                if await _resume(coroutine, self._context, self):
                    self._coroutine = coroutine
                    break
                if self.row == before and not self._ended:
                    raise TopologyError(f"agent {self._name!r} returned without reading its stream")
            except Exception as error:
                await self._failed(error, before)
            except CancelledError as error:
                if is_being_cancelled():
                    raise
                await self._failed(error, before)
            if self._ended or not self._has_row():
                break
        values, rows = self._yielded, self._yielded_rows
        self._yielded, self._yielded_rows = [], []
        if rows and rows[0] < 0:  # Yielded before the first event was taken: with that event's key and time.
            first = self._rows[0] if self._rows else 0
            rows = [max(row, first) for row in rows]
        return rows, values

    async def end(self) -> Results:
        """The input ended: so does the stream."""
        if self._coroutine is None:
            return [], []
        self._ended = True
        return await self.run()

    async def close(self) -> None:
        """Ends the function where it is. What it raises then concerns no event: it is logged."""
        coroutine, self._coroutine = self._coroutine, None
        if coroutine is not None:
            try:
                with suppress(_Closed):
                    await _resume(coroutine, self._context, self, _Closed())
            except Exception:
                log.exception("agent %r failed while it was ended; nothing of an event depends on it", self._name)

    async def has_next(self) -> bool:
        """Whether there is a next row. Suspends the function until there are rows, or until the input ended."""
        while not self._has_row():
            if self._ended:
                return False
            await _next_batch()
        return True

    def rest(self) -> Sequence[int]:
        """The rows that it has not taken yet."""
        return self._rows[bisect_right(self._rows, self.row) :]

    def _has_row(self) -> bool:
        return bool(self._rows) and self._rows[-1] > self.row

    async def _failed(self, error: BaseException, before: int) -> None:
        """Takes the failed event back, and either goes back to it or rejects it."""
        if not self._rows:
            raise error  # There is no event to reject for it.
        # A function that raised before it took an event failed on the one it would have taken.
        if self.row == before and self._has_row():
            self.row = self.rest()[0]
        row = self.row = max(self.row, self._rows[0])
        self._context.take_back(row, shared=not isinstance(self._rows, range))
        while self._yielded_rows and self._yielded_rows[-1] == row:
            self._yielded_rows.pop()
            self._yielded.pop()
        if not self._ended and await self._attempts.again(row):
            self.row -= 1
        else:
            self._context.reject(self._name, error, self.batch, row)
            self._answers.failed(row, error)

    async def _start(self) -> None:
        """The function's coroutine: ends when it returns."""
        running = self._function(self._stream)
        if not isinstance(running, AsyncIterator):
            await running
            return
        async for value in running:
            if self._check is not None:
                self._check(self.batch, self.row, value)
            self._yielded.append(value)
            self._yielded_rows.append(self.row)


class AgentStream(Stream[V]):
    """The stream an agent is given: its events are the rows that its instance was given."""

    def __init__(self, of: Stream[V], instance: Instance) -> None:
        self.step = of.step
        self.key_codec = of.key_codec
        self.value_codec = of.value_codec
        self._instance = instance

    @property
    def graph(self) -> Graph:  # type: ignore[override]
        """None to add operators to: the graph is fixed while it runs."""
        raise TopologyError(
            f"operators cannot be added to {self!r} while an agent runs; "
            "declare them before, as in @app.agent(app.stream(topic).filter(...))"
        )

    def __iter__(self) -> Iterator[V]:
        raise TypeError("the stream of an agent is read with `async for`, not with `for`")

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"an async agent is given its stream, which has no {name!r}: values are read from it with `async for`; "
            "a plain function, without async, is given each value"
        )

    async def __aiter__(self) -> AsyncIterator[V]:
        at = self._instance
        while await at.has_next():
            rows = at.rest()
            values = _picked(at.batch.values, rows)
            for at.row, value in zip(rows, values, strict=False):
                yield value

    async def items(self) -> AsyncIterator[tuple[Any, V]]:
        at = self._instance
        while await at.has_next():
            rows = at.rest()
            keys, values = _picked(at.batch.keys, rows), _picked(at.batch.values, rows)
            for at.row, key, value in zip(rows, keys, values, strict=False):
                yield key, value

    async def events(self) -> AsyncIterator[Event[V]]:
        at = self._instance
        while await at.has_next():
            batch, rows = at.batch, at.rest()
            for at.row in rows:
                yield event_at(batch, at.row)

    async def enumerate(self, start: int = 0) -> AsyncIterator[tuple[int, V]]:
        number = start
        async for value in self:
            yield number, value
            number += 1

    def take(self, most: int, within: Duration, *, name: str | None = None) -> Stream[Taken[V]]:
        if name is not None:
            raise TopologyError("take(name=) names the state of a step; inside an agent it has the agent's name")
        self._instance.begin_taking(*checked_take(most, within))
        return cast(Stream[Taken[V]], self)  # From now on the rows of its batches are lists.


def _picked(column: list[Any], rows: Sequence[int]) -> Iterator[Any]:
    return islice(column, rows.start, None) if isinstance(rows, range) else map(column.__getitem__, rows)


@types.coroutine
def _next_batch() -> Generator[Any, None, None]:
    yield _NEXT_BATCH


@types.coroutine
def _resume(
    coroutine: Any, context: TaskContext, instance: Instance, error: BaseException | None = None
) -> Generator[Any, Any, bool]:
    """Resumes a coroutine, with an error if one is given, until it asks for a batch (True) or returns (False).

    Whatever else it awaits goes to the event loop, and the loop's answers and cancellations come back to it. Other
    instances may run meanwhile, so the task's cursor is this one's only as long as this one runs.
    """
    answer: Any = None
    while True:
        outer, context.cursor = context.cursor, instance
        try:
            awaited = coroutine.send(answer) if error is None else coroutine.throw(error)
        except StopIteration:
            return False
        finally:
            context.cursor = outer
        if awaited is _NEXT_BATCH:
            return True
        context.awaiting = instance
        try:
            answer, error = (yield awaited), None
        except BaseException as raised:
            error = raised
