"""Reading partitions outside the consumer group: once, from an offset to an offset, to restore state; or on and on, to
keep copies of it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping

import confluent_kafka
from confluent_kafka import Consumer, KafkaException

from ottla.transport.calls import CallThread
from ottla.transport.contract import Message, OffsetRange, Polled, TopicPartition
from ottla.transport.errors import TransportError
from ottla.transport.kafka_log import ClientLog
from ottla.transport.kafka_messages import kafka_error, sort_messages, transport_error
from ottla.transport.kafka_settings import KafkaSettings

_BATCH_MESSAGES = 10_000
_MARGIN_S = 30.0
_LOOK_S = 0.25
"""No call waits for longer: who gives up reading waits for the one that is under way."""


async def read_ranges(
    settings: KafkaSettings, ranges: Mapping[TopicPartition, OffsetRange]
) -> AsyncGenerator[dict[TopicPartition, list[Message]], None]:
    """See `Transport.read`. Raises `TransportError` when nothing comes for longer than a transaction may stay open."""
    ends = {where: each.end for where, each in ranges.items() if each.start < each.end}
    if not ends:
        return
    patience_s = settings.transaction_timeout_ms / 1000 + _MARGIN_S
    consumer = Consumer(settings.reader(), logger=ClientLog())
    calls = CallThread("ottla-restore")
    try:
        consumer.assign([confluent_kafka.TopicPartition(*where, ranges[where].start) for where in ends])
        heard_at = time.monotonic()
        while ends:
            taken = await calls.run(_take, consumer, _LOOK_S)
            if not taken and time.monotonic() - heard_at < patience_s:
                continue
            if not taken:
                first = min(ends)
                raise TransportError(
                    f"reading {first.topic}[{first.partition}] stalled: nothing came for {patience_s:g} s; "
                    "if a transaction hangs there, `ottla transaction find-hanging` shows it, and `abort` ends it"
                )
            heard_at = time.monotonic()
            polled = sort_messages(taken)
            batches, finished = {}, []
            for where, messages in polled.messages.items():
                end = ends.get(where)
                if end is None:
                    continue
                if messages[-1].offset() >= end - 1:
                    finished.append(where)
                    messages = [message for message in messages if message.offset() < end]
                if messages:
                    batches[where] = messages
            # Control records take the last offsets of a transaction, so the end may come without a message; an end
            # below ours is that of a transaction which is still open.
            finished += [w for w, end in polled.ends.items() if w in ends and end >= ends[w] and w not in finished]
            if batches:
                yield batches
            if finished:
                consumer.incremental_unassign([confluent_kafka.TopicPartition(*where) for where in finished])
                for where in finished:
                    del ends[where]
    finally:
        await calls.run(consumer.close)
        await calls.stop()


class KafkaFollower:
    """A `Follower`. Its thread and connections live as long as it does."""

    def __init__(self, settings: KafkaSettings) -> None:
        # Whoever follows does so for long: fetches may wait, as the worker's own do.
        self._consumer = Consumer(
            {**settings.reader(), "fetch.wait.max.ms": 100, **settings.options}, logger=ClientLog()
        )
        self._calls = CallThread("ottla-follow")
        # Consumer calls of two threads would block each other: the changes are made by the next poll.
        self._changes: list[Callable[[], None]] = []
        # What was removed since the poll began that is under way.
        self._removed: set[TopicPartition] = set()

    def add(self, positions: Mapping[TopicPartition, int]) -> None:
        added = [confluent_kafka.TopicPartition(*where, offset) for where, offset in positions.items()]
        self._changes.append(lambda: self._consumer.incremental_assign(added))

    def remove(self, partitions: Collection[TopicPartition]) -> None:
        self._removed.update(partitions)
        removed = [confluent_kafka.TopicPartition(*where) for where in partitions]
        self._changes.append(lambda: self._consumer.incremental_unassign(removed))

    async def poll(self, timeout_s: float) -> Polled:
        changes, self._changes = self._changes, []
        self._removed.clear()
        polled = sort_messages(await self._calls.run(self._follow, changes, timeout_s))
        for where in self._removed:
            polled.messages.pop(where, None)
            polled.ends.pop(where, None)
            polled.missing.pop(where, None)
        return polled

    def _follow(self, changes: list[Callable[[], None]], timeout_s: float) -> list[confluent_kafka.Message]:
        for change in changes:
            change()
        return _take(self._consumer, timeout_s)

    async def close(self) -> None:
        await self._calls.run(self._consumer.close)
        await self._calls.stop()


def _take(consumer: Consumer, timeout_s: float) -> list[confluent_kafka.Message]:
    try:
        taken = consumer.consume(_BATCH_MESSAGES, 0)
        if not taken and (first := consumer.poll(timeout_s)) is not None:
            taken = [first, *consumer.consume(_BATCH_MESSAGES - 1, 0)]
    except KafkaException as failure:
        raise transport_error(kafka_error(failure), "reading from the broker") from failure
    return taken
