"""An agent at work in one task: its instances, or the plain function that is called for each event.

AgentProcessor       an async function over the stream: one instance, or with concurrency=N as many side by side
FunctionProcessor    a function that is called with each value
WholeBatches         either of them, given batches as lists
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ottla.agents.answers import Answers
from ottla.agents.instance import Attempts, Instance, Results
from ottla.errors import EncodeError, TopologyError
from ottla.escapes import contained
from ottla.event import Taken
from ottla.serdes import Codec
from ottla.stream import Stream
from ottla.task.batch import Batch
from ottla.task.origins import joined_origin
from ottla.task.processor import Processor, TaskContext
from ottla.task.take import Waiting

Check = Callable[[Batch, int, Any], None]


class AgentProcessor(Processor):
    """Runs the instances of one agent in one task.

    Several share each batch by key, so that events of one key stay in order; the batch is done when all are, and what
    they yielded goes on in the order of the events.
    """

    def __init__(
        self,
        context: TaskContext,
        name: str,
        function: Callable[[Stream[Any]], Any],
        source: Stream[Any],
        *,
        codec: Codec[Any],
        topics: Mapping[str, int | None],
        take_store: str | None = None,
        concurrency: int = 1,
        check: Check | None = None,
        each: bool = False,
    ) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._answers = Answers(context, name, codec, topics, each=each)
        self._instances = [
            Instance(context, name, function, source, self._answers, self._begin_taking, check)
            for _ in range(concurrency)
        ]
        self.answerer = self._answers
        self._take_store = None if take_store is None else context.stores[take_store]
        self._waiting: Waiting | None = None

    async def receive(self, batch: Batch) -> None:
        for part in self._context.parts(batch):
            await self._process(part if self._waiting is None else self._waiting.take(part))

    async def advance(self) -> None:
        await self._wake()
        if self._waiting is not None:
            await self._process(self._waiting.overdue())

    async def end_of_input(self) -> None:
        await self._wake()
        if self._waiting is not None:
            await self._process(self._waiting.rest())
        for instance in self._instances:
            await self._hand_on(instance.batch, await instance.end())

    async def close(self) -> None:
        for instance in self._instances:
            await instance.close()

    async def _process(self, batch: Batch) -> None:
        if not batch.values:
            return
        self._answers.begin(batch)
        rows = range(len(batch))
        if len(self._instances) > 1:
            results = await self._share(batch, rows)
        else:
            [instance] = self._instances
            results = await instance.process(batch, rows)
            # The instance may have begun to take lists: then those are what its results are of.
            batch = instance.batch
        if not _can_stay(self._context, self._name, batch, self._answers):
            results = [], []
            for instance in self._instances:
                await instance.close()
        await self._hand_on(batch, results)

    async def _share(self, batch: Batch, rows: range) -> Results:
        shares: list[list[int]] = [[] for _ in self._instances]
        for row, key in zip(rows, batch.keys, strict=True):
            shares[_place(key, row) % len(shares)].append(row)
        parts = await asyncio.gather(
            *(self._part(each, batch, share) for each, share in zip(self._instances, shares, strict=True) if share),
            return_exceptions=True,
        )
        found: list[tuple[int, Any]] = []
        for part in parts:
            if isinstance(part, BaseException):
                raise part
            found += zip(*part, strict=True)
        found.sort(key=_row)
        return [row for row, _ in found], [value for _, value in found]

    async def _part(self, instance: Instance, batch: Batch, share: list[int]) -> Results:
        with contained(f"agent {self._name!r}"):
            return await instance.process(batch, share)

    async def _hand_on(self, batch: Batch, results: Results) -> None:
        rows, values = results
        await self._context.settle(batch)
        self._answers.done(rows, values)
        if values:
            await self.forward(batch.rows(rows, values))

    async def _wake(self) -> None:
        """Begins the agent before its first event if events wait since before a restart, so that it says for what."""
        store, [instance, *_] = self._take_store, self._instances
        if store is not None and not instance.begun and self._waiting is None and any(store.range()):
            await self._hand_on(instance.batch, await instance.run())

    def _begin_taking(self, most: int, within_ms: int) -> None:
        """What was not taken yet, and every batch from now on, is taken by lists."""
        if self._waiting is not None:
            self._waiting.most, self._waiting.within_ms = most, within_ms
            return
        if self._take_store is None:
            raise TopologyError(
                f"agent {self._name!r} cannot take lists: its code does not show take(), or the type of its values "
                "cannot be seen; give it the lists, as in @app.agent(app.stream(topic).take(100, within=10))"
            )
        [instance] = self._instances
        if instance.has_yielded:
            raise TopologyError(f"agent {self._name!r} took single events before: take lists from the first event on")
        self._waiting = Waiting(self._context, self._take_store, most, within_ms)
        batch = instance.batch
        lists = self._waiting.take(batch.slice(instance.row + 1, len(batch)))
        self._answers.begin(lists)
        instance.give(lists, range(len(lists)))


class FunctionProcessor(Processor):
    """Calls a function with each value: what it returns is a result unless that is None, what it yields always is.

    The function is called, retried and rejected as an agent over the stream is.
    """

    def __init__(
        self,
        context: TaskContext,
        name: str,
        function: Callable[[Any], Any],
        *,
        yields: bool,
        codec: Codec[Any],
        topics: Mapping[str, int | None],
        check: Check | None = None,
        each: bool = False,
    ) -> None:
        super().__init__()
        self.batch = Batch([], [], [], [])
        self.row = -1
        self._context = context
        self._name = name
        self._function = function
        self.answerer = self._answers = Answers(context, name, codec, topics, each=each)
        self._attempts = Attempts(context, name)
        self._check = check
        self._add = self._add_yielded if yields else self._add_returned

    async def receive(self, batch: Batch) -> None:
        for part in self._context.parts(batch):
            await self._process(part)

    async def _process(self, batch: Batch) -> None:
        context = self._context
        self.batch, self.row = batch, -1
        self._attempts.begin()
        self._answers.begin(batch)
        rows: list[int] = []
        values: list[Any] = []
        outer, context.cursor = context.cursor, self
        try:
            while self.row + 1 < len(batch):
                try:
                    self._add(rows, values)
                except Exception as error:
                    row = self.row
                    context.take_back(row)
                    while rows and rows[-1] == row:
                        rows.pop()
                        values.pop()
                    if await self._attempts.again(row):
                        self.row -= 1
                    else:
                        context.reject(self._name, error, batch, row)
                        self._answers.failed(row, error)
        finally:
            context.cursor = outer
        if not _can_stay(context, self._name, batch, self._answers):
            rows, values = [], []
        await context.settle(batch)
        self._answers.done(rows, values)
        if values:
            await self.forward(batch.rows(rows, values))

    def _add_returned(self, rows: list[int], values: list[Any]) -> None:
        function, check, batch = self._function, self._check, self.batch
        rest = range(self.row + 1, len(batch))
        for self.row in rest:
            result = function(batch.values[self.row])
            if result is not None:
                if check is not None:
                    check(batch, self.row, result)
                rows.append(self.row)
                values.append(result)

    def _add_yielded(self, rows: list[int], values: list[Any]) -> None:
        function, check, batch = self._function, self._check, self.batch
        rest = range(self.row + 1, len(batch))
        for self.row in rest:
            for result in function(batch.values[self.row]):
                if check is not None:
                    check(batch, self.row, result)
                rows.append(self.row)
                values.append(result)


class WholeBatches(Processor):
    """Gives an agent each batch as one event, whose value is the list of values.

    What the agent returns or yields is a list with a result for each event, which gets that event's key, time and
    headers; None in it is no result.
    """

    def __init__(self, context: TaskContext, make: Callable[[Check], Processor]) -> None:
        super().__init__()
        self._context = context
        self._agent = make(_check_list)
        self.answerer = self._agent.answerer
        self._agent.children.append(_Spread(self))
        self._batch = Batch([], [], [], [])

    async def receive(self, batch: Batch) -> None:
        for part in self._context.parts(batch):
            self._batch = part
            taken: Taken[Any] = Taken(part)
            await self._agent.receive(
                Batch([part.keys[-1]], [taken], [part.timestamps[-1]], [joined_origin(part.origins)])
            )

    async def end_of_input(self) -> None:
        await self._agent.end_of_input()

    async def close(self) -> None:
        await self._agent.close()

    async def spread(self, results: Iterable[Sequence[Any]]) -> None:
        for values in results:
            chosen = [value is not None for value in values]
            batch = self._batch.with_values(list(values))
            await self.forward(batch if all(chosen) else batch.where(chosen))


class _Spread(Processor):
    """Takes the lists an agent made of whole batches."""

    def __init__(self, whole: WholeBatches) -> None:
        super().__init__()
        self._whole = whole

    async def receive(self, batch: Batch) -> None:
        await self._whole.spread(batch.values)


def _can_stay(context: TaskContext, step: str, batch: Batch, answers: Answers) -> bool:
    """Whether what an agent did can be stored. If it is looked at closely and cannot, its event is rejected."""
    if context.looks_closely and len(batch) == 1:
        try:
            context.check_written()
        except EncodeError as error:
            context.take_back_unstorable(step, error, batch, 0)
            context.reject(step, error, batch, 0)
            answers.failed(0, error)
            return False
    return True


def _check_list(batch: Batch, row: int, result: Any) -> None:
    expected = len(batch.values[row])
    if not isinstance(result, list) or len(result) != expected:
        found = f"a list of {len(result)}" if isinstance(result, list) else f"one {type(result).__name__}"
        raise TypeError(
            f"an agent with batch=True gives a list with a result for each event, None for none: {expected} were "
            f"expected, and {found} came"
        )


def _place(key: Any, row: int) -> int:
    """A number that is equal for equal keys; events without a key are dealt out in turn."""
    if key is None:
        return row
    try:
        return hash(key)
    except TypeError:
        return hash(repr(key))


def _row(result: tuple[int, Any]) -> int:
    return result[0]
