"""Reading many partitions outside the consumer group: once from an offset to an offset, which is how state is restored,
or from an offset on, which is how copies are kept up to date.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping

import confluent_kafka
from confluent_kafka import Consumer, KafkaException

from ottla.transport.calls import CallThread
from ottla.transport.contract import Message, OffsetRange, TopicPartition
from ottla.transport.errors import TransportError
from ottla.transport.kafka_log import ClientLog
from ottla.transport.kafka_messages import kafka_error, sort_messages, transport_error
from ottla.transport.kafka_settings import KafkaSettings

_BATCH_MESSAGES = 10_000
_MARGIN_S = 30.0
_FOLLOW_TAKE_S = 0.25


async def read_ranges(
    settings: KafkaSettings, ranges: Mapping[TopicPartition, OffsetRange]
) -> AsyncIterator[dict[TopicPartition, list[Message]]]:
    """See `Transport.read`. Raises `TransportError` when nothing comes for longer than a transaction may stay open."""
    ends = {where: each.end for where, each in ranges.items() if each.start < each.end}
    if not ends:
        return
    patience_s = settings.transaction_timeout_ms / 1000 + _MARGIN_S
    consumer = Consumer(settings.reader(), logger=ClientLog())
    calls = CallThread("ottla-restore")
    try:
        consumer.assign([confluent_kafka.TopicPartition(*where, ranges[where].start) for where in ends])
        while ends:
            taken = await calls.run(_take, consumer, patience_s)
            if not taken:
                first = min(ends)
                raise TransportError(
                    f"reading {first.topic}[{first.partition}] stalled: nothing came for {patience_s:g} s"
                )
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


async def follow(
    settings: KafkaSettings, positions: Mapping[TopicPartition, int]
) -> AsyncGenerator[dict[TopicPartition, list[Message]]]:
    """See `Transport.follow`. Raises `TransportError` for what does not pass by itself."""
    # Whoever follows does so for as long as the worker lives: fetches may wait, as the worker's own do.
    consumer = Consumer({**settings.reader(), "fetch.wait.max.ms": 100, **settings.options}, logger=ClientLog())
    calls = CallThread("ottla-follow")
    try:
        consumer.assign([confluent_kafka.TopicPartition(*where, start) for where, start in positions.items()])
        while True:
            # A call that is under way cannot be taken back: it is short, so that closing need not wait for long.
            if messages := sort_messages(await calls.run(_take, consumer, _FOLLOW_TAKE_S)).messages:
                yield messages
    finally:
        await calls.run(consumer.close)
        await calls.stop()


def _take(consumer: Consumer, timeout_s: float) -> list[confluent_kafka.Message]:
    try:
        taken = consumer.consume(_BATCH_MESSAGES, 0)
        if not taken and (first := consumer.poll(timeout_s)) is not None:
            taken = [first, *consumer.consume(_BATCH_MESSAGES - 1, 0)]
    except KafkaException as failure:
        raise transport_error(kafka_error(failure), "reading from the broker") from failure
    return taken
