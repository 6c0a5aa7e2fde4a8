"""The stateless steps at work: source, map, filter, flat_map, sink.

A step applies the user's function to a whole column with `map`, in C. When the function raises, the rows done so far
stay done, the bad one is rejected as the app's policy says, and the same iterator goes on with the next row: no
function is called twice for an event, and events that fail cost nothing to those that do not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from inspect import isawaitable
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

from ottla.errors import DecodeError, EncodeError, Unavailable
from ottla.event import event_at
from ottla.task.batch import Batch
from ottla.task.processor import Place, Processor, TaskContext
from ottla.time import checked_timestamp, timestamp_of
from ottla.transport.contract import Message, OutputRecord

if TYPE_CHECKING:
    from ottla.topic import Topic

_FAILED: Final = object()


def call(
    context: TaskContext, step: str, function: Callable[..., Any], batch: Batch, *columns: Iterable[Any]
) -> tuple[Batch, list[Any]]:
    """Calls `function` with each row of the columns. Returns the results, and the batch without the rows that
    raised."""
    results: list[Any] = []
    calls = map(function, *columns)
    failed = False
    outer, context.called_for = context.called_for, _Calling(batch, results)
    try:
        while True:
            try:
                # On an error `extend` keeps what came before it, and `map` goes on behind it.
                results.extend(calls)
                if len(results) == len(batch):
                    break
                raise RuntimeError(f"{step} raised StopIteration")
            except Exception as error:
                context.reject(step, error, batch, len(results))
                results.append(_FAILED)
                failed = True
    finally:
        context.called_for = outer
    if not failed:
        return batch, results
    kept = [result is not _FAILED for result in results]
    return batch.where(kept), list(compress(results, kept))


class _Calling:
    """The row that a function is called for: the one behind the results so far, which grow call by call."""

    __slots__ = ("_results", "batch")

    def __init__(self, batch: Batch, results: list[Any]) -> None:
        self.batch = batch
        self._results = results

    @property
    def row(self) -> int:
        return len(self._results)


class Source(Processor):
    """Decodes the messages of one topic, and hands their events on."""

    def __init__(self, context: TaskContext, step: str, topic: Topic[Any, Any]) -> None:
        super().__init__()
        self._context = context
        self.step = step
        self._topic = topic
        self._decode_key = topic.key_codec.decode
        self._decode_value = topic.value_codec.decode
        self._extract = topic.extract_timestamp

    def decode(self, messages: Sequence[Message]) -> tuple[Batch, dict[int, Exception]]:
        """The messages as a batch, and the rows that could not be decoded with what was wrong.

        Such a row keeps its place in the batch, so that it is dealt with in its turn and its offset is passed with it.
        Raises `Unavailable` where a codec does: then no message is at fault.
        """
        try:
            batch = self._decode_all(messages)
        except Unavailable:
            raise
        except Exception:
            batch = None
        return self._decode_each(messages) if batch is None else (batch, {})

    def _decode_all(self, messages: Sequence[Message]) -> Batch:
        """The fast way, column by column. Raises anything if one message is bad."""
        decode_key, decode_value, extract = self._decode_key, self._decode_value, self._extract
        keys = [None if (data := message.key()) is None else decode_key(data) for message in messages]
        values = [None if (data := message.value()) is None else decode_value(data) for message in messages]
        timestamps = [message.timestamp()[1] for message in messages]
        if extract is not None:
            timestamps = [
                timestamp if value is None else timestamp_of(extract(value))
                for timestamp, value in zip(timestamps, values, strict=True)
            ]
        checked_timestamp(min(timestamps))
        return Batch(keys, values, timestamps, messages)

    def _decode_each(self, messages: Sequence[Message]) -> tuple[Batch, dict[int, Exception]]:
        batch = Batch([], [], [], messages)
        failures: dict[int, Exception] = {}
        for row, message in enumerate(messages):
            key = value = None
            timestamp = message.timestamp()[1]
            try:
                key = self._decode_part("key", self._decode_key, message.key())
                value = self._decode_part("value", self._decode_value, message.value())
                if self._extract is not None and value is not None:
                    timestamp = timestamp_of(self._extract(value))
                timestamp = checked_timestamp(timestamp)
            except Unavailable:
                raise
            except Exception as error:
                failures[row] = error
                timestamp = max(message.timestamp()[1], 0)
            batch.keys.append(key)
            batch.values.append(value)
            batch.timestamps.append(timestamp)
        return batch, failures

    def _decode_part(self, part: str, decode: Callable[[bytes], Any], data: bytes | None) -> Any:
        if data is None:
            return None
        try:
            return decode(data)
        except Unavailable:
            raise
        except Exception as error:
            codec = self._topic.key_codec if part == "key" else self._topic.value_codec
            raise DecodeError(f"the {part} is no {codec.name}: {error}") from error

    def reject(self, batch: Batch, row: int, error: Exception) -> None:
        """Deals with a row that could not be decoded, in its turn."""
        self._context.reject(self.step, error, batch, row, kind="deserialization")

    async def receive(self, batch: Batch) -> None:
        await self.forward(batch)


class Pass(Processor):
    """Hands on what it receives: a place where streams meet or part."""

    async def receive(self, batch: Batch) -> None:
        await self.forward(batch)


class Map(Processor):
    """One value for each value."""

    def __init__(self, context: TaskContext, name: str, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._function = function

    async def receive(self, batch: Batch) -> None:
        batch, results = self._call(batch)
        await self.forward(batch.with_values(results))

    def _call(self, batch: Batch) -> tuple[Batch, list[Any]]:
        return call(self._context, self._name, self._function, batch, batch.values)


class Filter(Map):
    """The events for whose value the function is true."""

    async def receive(self, batch: Batch) -> None:
        batch, answers = self._call(batch)
        await self.forward(batch if all(answers) else batch.where(answers))


class FlatMap(Map):
    """Any number of values for each value, with its key and time."""

    def __init__(self, context: TaskContext, name: str, function: Callable[[Any], Iterable[Any]]) -> None:
        super().__init__(context, name, lambda value: list(function(value)))

    async def receive(self, batch: Batch) -> None:
        batch, lists = self._call(batch)
        rows = [row for row, values in enumerate(lists) for _ in values]
        await self.forward(batch.rows(rows, [value for values in lists for value in values]))


class KeyBy(Map):
    """The same events under the keys that a function finds in their values."""

    async def receive(self, batch: Batch) -> None:
        batch, keys = self._call(batch)
        await self.forward(Batch(keys, batch.values, batch.timestamps, batch.origins))


class Branch(Processor):
    """Gives each event to one of its children: that of the first predicate that is true for its value, or the last."""

    def __init__(self, context: TaskContext, name: str, predicates: Sequence[Callable[[Any], object]]) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._predicates = predicates

    async def receive(self, batch: Batch) -> None:
        for part in batch.events() if self.singly else (batch,):
            await self._part(part)

    async def _part(self, batch: Batch) -> None:
        batch, chosen = call(self._context, self._name, self._choose, batch, batch.values)
        for index, child in enumerate(self.children):
            part = batch.where([each == index for each in chosen])
            if part.values:
                await child.receive(part)

    def _choose(self, value: Any) -> int:
        for index, predicate in enumerate(self._predicates):
            if predicate(value):
                return index
        return len(self._predicates)


class Handle(Processor):
    """Calls a function, async or not, with each event or value, and hands on what it did not raise on."""

    def __init__(
        self,
        context: TaskContext,
        name: str,
        function: Callable[[Any], Awaitable[object] | object],
        argument: Callable[[Batch, int], Any] = event_at,
    ) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._function = function
        self._argument = argument

    async def receive(self, batch: Batch) -> None:
        outer = self._context.cursor
        handled = []
        try:
            for row in range(len(batch)):
                self._context.cursor = Place(batch, row)
                handled.append(await self._handle(batch, row))
        finally:
            self._context.cursor = outer
        await self._context.settle(batch)
        await self.forward(batch if all(handled) else batch.where(handled))

    async def _handle(self, batch: Batch, row: int) -> bool:
        """Returns whether the function took the event."""
        try:
            done = self._function(self._argument(batch, row))
            if isawaitable(done):
                await done
        except Exception as error:
            self._context.take_back(row)
            self._context.reject(self._name, error, batch, row)
            return False
        return True


def value_at(batch: Batch, row: int) -> Any:
    """A row of a batch as its value alone."""
    return batch.values[row]


class Sink(Processor):
    """Writes events to a topic, with their keys, times and headers."""

    def __init__(self, context: TaskContext, name: str, topic: Topic[Any, Any]) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._topic = topic

    async def receive(self, batch: Batch) -> None:
        topic = self._topic
        try:
            keys, values = topic.key_codec.encode_all(batch.keys), topic.value_codec.encode_all(batch.values)
        except Exception:
            batch, pairs = call(self._context, self._name, topic.encode, batch, batch.keys, batch.values)
            keys, values = [key for key, _ in pairs], [value for _, value in pairs]
        name, context = topic.name, self._context
        largest = max(map(len, filter(None, values)), default=0) + max(map(len, filter(None, keys)), default=0)
        if largest > context.max_record_bytes or context.refusals.concern(name, context.now_ms):
            batch, keys, values = self._without_refused(batch, keys, values)
        context.outputs += [
            OutputRecord(name, key, value, timestamp, None if origin is None else origin.headers())
            for key, value, timestamp, origin in zip(keys, values, batch.timestamps, batch.origins, strict=True)
        ]

    def _without_refused(
        self, batch: Batch, keys: list[bytes | None], values: list[bytes | None]
    ) -> tuple[Batch, list[bytes | None], list[bytes | None]]:
        """Rejects the rows that cannot be written, while it is known what they were made of."""
        kept = []
        for row, (key, value) in enumerate(zip(keys, values, strict=True)):
            try:
                self._context.check(OutputRecord(self._topic.name, key, value, batch.timestamps[row]))
                kept.append(True)
            except EncodeError as error:
                self._context.reject(self._name, error, batch, row)
                kept.append(False)
        return batch.where(kept), list(compress(keys, kept)), list(compress(values, kept))
