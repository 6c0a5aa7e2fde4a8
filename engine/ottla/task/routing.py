"""The sink that decides for each event where it goes: the topic, the partition, or both (KIP-303, KIP-837)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ottla.errors import ConfigError, NoDestination
from ottla.event import Event, event_at
from ottla.task.batch import Batch
from ottla.task.operators import call
from ottla.task.processor import Processor, TaskContext
from ottla.transport.contract import Headers, Message, OutputRecord

if TYPE_CHECKING:
    from ottla.topic import Topic

ChooseTopic = Callable[[Event[Any]], "Topic[Any, Any] | str"]
"""Says to which topic an event is written: a topic, or the name of one."""

ChoosePartition = Callable[[Any, Any, int], "int | Iterable[int] | None"]
"""Says of a key, a value and the topic's number of partitions in which the event is written: in a partition, in
several, or in none if they are empty; None leaves it to the key."""


class RoutedSink(Processor):
    """Writes each event where two functions of the user's say; without one of them, as `Sink` does.

    `named` gives the topic that a name stands for. Raises `ConfigError` for what cannot be a topic's name.
    """

    def __init__(
        self,
        context: TaskContext,
        name: str,
        topic: Topic[Any, Any] | ChooseTopic,
        partition: ChoosePartition | None,
        named: Callable[[str], Topic[Any, Any]],
    ) -> None:
        super().__init__()
        self._context = context
        self._name = name
        self._topic = topic
        self._partition = partition
        self._named = named

    async def receive(self, batch: Batch) -> None:
        context = self._context
        if callable(self._topic):
            events = (event_at(batch, row) for row in range(len(batch)))
            batch, topics = call(context, self._name, partial(self._chosen, self._topic), batch, events)
        else:
            topics = [self._topic] * len(batch)
        counts = await context.partition_counts({topic.name for topic in topics})
        batch, written = call(
            context,
            self._name,
            partial(self._records, counts),
            batch,
            topics,
            batch.keys,
            batch.values,
            batch.timestamps,
            batch.origins,
        )
        for records in written:
            context.outputs += records

    def _chosen(self, choose: ChooseTopic, event: Event[Any]) -> Topic[Any, Any]:
        chosen: Any = choose(event)
        if isinstance(chosen, str):
            try:
                return self._named(chosen)
            except ConfigError as error:
                raise NoDestination(f"the topic that was chosen is none: {error}") from error
        if not hasattr(chosen, "value_codec"):
            raise NoDestination(f"the topic that was chosen is none: {chosen!r} is neither a topic nor a name")
        topic: Topic[Any, Any] = chosen
        return topic

    def _records(
        self,
        counts: Mapping[str, int],
        topic: Topic[Any, Any],
        key: Any,
        value: Any,
        timestamp: int,
        origin: Message | None,
    ) -> list[OutputRecord]:
        """The event as records, one for each partition that it goes to."""
        name = topic.name
        count = counts.get(name)
        if count is None:
            raise NoDestination(f"there is no topic {name!r} to write to: create it, or choose another")
        partitions = [None] if self._partition is None else _checked(self._partition(key, value, count), name, count)
        encoded_key, encoded_value = topic.encode(key, value)
        headers: Headers | None = None if origin is None else origin.headers()
        records = [
            OutputRecord(name, encoded_key, encoded_value, timestamp, headers, partition) for partition in partitions
        ]
        for record in records:
            self._context.check(record)
        return records


def _checked(chosen: Any, topic: str, count: int) -> list[int | None]:
    """The partitions that were chosen. Raises `NoDestination` for what is none of the topic's."""
    if chosen is None:
        return [None]
    partitions = [chosen] if isinstance(chosen, int) else list(dict.fromkeys(chosen))
    for partition in partitions:
        if not isinstance(partition, int) or not 0 <= partition < count:
            raise NoDestination(
                f"partition {partition!r} was chosen for topic {topic!r}, which has {count}: partition= returns one "
                f"of 0 to {count - 1}, several of them, or None to leave it to the key"
            )
    return partitions
