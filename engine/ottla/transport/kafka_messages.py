"""What a consumer hands out, sorted: messages by partition, ends of partitions, errors."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from ottla.transport.contract import Message, Polled, TopicPartition
from ottla.transport.errors import (
    FatalTransportError,
    MemberFencedError,
    ProducerFencedError,
    RecordRefusedError,
    TransactionAbortedError,
    TransportError,
)

log = logging.getLogger("ottla.kafka")

_error_of = confluent_kafka.Message.error
_topic_of = confluent_kafka.Message.topic
_partition_of = confluent_kafka.Message.partition

_PRODUCER_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    # The coordinator ended the transaction by itself, since it was open for too long; the producer cannot go on.
    KafkaError.INVALID_TXN_STATE,
}
_FENCED = {*_PRODUCER_FENCED, KafkaError.FENCED_INSTANCE_ID}
_REPLACED = (
    "another worker with the same worker id is running, or the group gave this one up since it was silent for its "
    "session timeout"
)


def sort_messages(taken: Sequence[confluent_kafka.Message]) -> Polled:
    """Sorts what `consume` returned. Raises `TransportError` for an error event that does not pass by itself.

    The common cases cost three C calls per message: no error events, and runs of messages of few partitions.
    """
    polled = Polled()
    if any(map(_error_of, taken)):
        taken = _without_events(taken, polled)
    partitions = list(map(_partition_of, taken))
    topics = list(map(_topic_of, taken))
    by_partition: dict[tuple[str | None, int | None], list[confluent_kafka.Message]] = {}
    if len(set(partitions)) == 1 and len(set(topics)) == 1:
        by_partition[topics[0], partitions[0]] = list(taken)
    else:
        for where, message in zip(zip(topics, partitions, strict=True), taken, strict=True):
            found = by_partition.get(where)
            if found is None:
                by_partition[where] = [message]
            else:
                found.append(message)
    # confluent_kafka types every method as optional because delivery reports may lack them; a consumed message has all.
    messages = cast(dict[tuple[str, int], list[Message]], by_partition)
    polled.messages = {TopicPartition(*where): found for where, found in messages.items()}
    for where in [where for where, end in polled.ends.items() if _goes_beyond(polled.messages.get(where), end)]:
        del polled.ends[where]
    return polled


def transport_error(error: KafkaError, doing: str) -> TransportError:
    """The error of a client call as one sentence, of the kind that says whether the worker may go on."""
    if error.code() in _PRODUCER_FENCED:
        return ProducerFencedError(f"{doing} failed: {_REPLACED}")
    # A consumer tells a fatal error as _FATAL, with what it is in words alone.
    if error.code() == KafkaError.FENCED_INSTANCE_ID or (error.code() == KafkaError._FATAL and "fenced" in error.str()):
        return MemberFencedError(f"{doing} failed: {_REPLACED}")
    kind = FatalTransportError if error.fatal() or error.code() == KafkaError._FATAL else TransportError
    return kind(f"{doing} failed: {error.str()}")


def explained(error: KafkaError) -> str:
    """An error's text, with what to do where that is known."""
    advice = _ADVICE.get(error.code())
    return error.str() if advice is None else f"{error.str()} ({advice})"


def is_refusal(error: KafkaError) -> bool:
    """Whether it is a record's fault, which will be refused for what it is whenever it comes."""
    return error.code() in _REFUSALS


def aborted(error: KafkaError, text: str) -> TransactionAbortedError:
    """The error of a transaction that is lost."""
    return RecordRefusedError(text) if is_refusal(error) else TransactionAbortedError(text)


def kafka_error(exception: KafkaException) -> KafkaError:
    error = exception.args[0]
    return error if isinstance(error, KafkaError) else KafkaError(KafkaError._FAIL, str(error))


def _without_events(taken: Sequence[confluent_kafka.Message], polled: Polled) -> list[confluent_kafka.Message]:
    messages = []
    for message in taken:
        error = message.error()
        if error is None:
            messages.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            where = cast(Message, message)
            polled.ends[TopicPartition(where.topic(), where.partition())] = where.offset()
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            where = cast(Message, message)
            polled.missing[TopicPartition(where.topic(), where.partition())] = where.offset()
        elif error.fatal() or error.code() in _LASTING:
            raise transport_error(error, "reading from the broker")
        else:
            log.warning("reading from the broker: %s", error.str())
    return messages


_DELETED = "if the topic was deleted, create it anew or take it out of the app"
_ADVICE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: _DELETED,
    KafkaError._UNKNOWN_PARTITION: _DELETED,
    KafkaError._UNKNOWN_TOPIC: _DELETED,
    KafkaError.MSG_SIZE_TOO_LARGE: (
        "raise the topic's max.message.bytes, or set message.max.bytes in broker_options to what it takes"
    ),
    KafkaError.INVALID_TIMESTAMP: (
        "an event's time is further from the broker's clock than the topic takes, an hour after it unless "
        "message.timestamp.after.max.ms says otherwise: raise that"
    ),
    KafkaError.INVALID_RECORD: "a topic that is compacted takes no records without a key",
}

_REFUSALS = {KafkaError.INVALID_TIMESTAMP, KafkaError.INVALID_RECORD, KafkaError.MSG_SIZE_TOO_LARGE}

_LASTING = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.INCONSISTENT_GROUP_PROTOCOL,
    KafkaError._AUTHENTICATION,
    KafkaError._FATAL,
    *_FENCED,
}


def _goes_beyond(messages: list[Message] | None, end: int) -> bool:
    """Whether messages came after the end was reached: then it is the end no more, and will be told again."""
    return messages is not None and messages[-1].offset() >= end
