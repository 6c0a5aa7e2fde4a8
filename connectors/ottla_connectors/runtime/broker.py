"""What the runtime asks of a broker besides moving records: client settings, topics, end offsets, and its errors.

Everything here blocks and is called from a `Clerk`, a thread that a client has to itself: librdkafka's calls wait,
and a client must not be closed while one of them is under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any, ParamSpec, TypeAlias, TypeVar

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Message, Producer, TopicCollection
from confluent_kafka import TopicPartition as ClientTopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from ottla.transport.calls import CallThread
from ottla.transport.kafka_reach import wait_for_broker
from ottla.transport.kafka_settings import KafkaSettings
from ottla_connectors.contract import Headers, TopicPartition
from ottla_connectors.errors import BrokerError, BrokerUnavailable, ConnectorError, Fenced
from ottla_connectors.runtime import stopping

REQUEST_TIMEOUT_S = 30.0

RECORD_MAX_BYTES = 1_000_000
"""The largest key and value together that the runtime writes as one record."""

BATCH_MAX_BYTES = 1_040_000
"""The largest batch of its producers; by default a broker takes 1,048,588 bytes (`max.message.bytes`)."""

DeliveryCallback: TypeAlias = Callable[[KafkaError | None, Message], None]

_log = logging.getLogger(__name__)
_client_log = logging.getLogger("librdkafka")
_client_log.addHandler(logging.NullHandler())
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Clerk:
    """One thread that makes the blocking calls of one client, in order; a cancelled call still ends before the next.

    A call may wait for a broker for a minute. Nothing else waits for it then, the end of the process included.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls = CallThread(name)

    async def call(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What the function returns; a failure of the client arrives as an error of this package."""
        return await self._calls.run(_translated, function, args, kwargs)

    async def close(self, function: Callable[[], None]) -> None:
        """Makes one more call after those that were made, and ends the thread; waits `CLOSE_WITHIN_S` at most."""

        def last() -> None:
            try:
                function()
            finally:
                self._calls.dismiss()

        closing = asyncio.ensure_future(self.call(last))
        if (await asyncio.wait({closing}, timeout=stopping.CLOSE_WITHIN_S))[0]:
            closing.result()
        else:
            _log.warning("%s: no answer within %g s; its client is left as it is", self._name, stopping.CLOSE_WITHIN_S)


def wait_until_reachable(servers: str, patience_s: float) -> None:
    """Returns when a broker answers there, and says every few seconds that none does, as a worker does. Blocks.

    Raises `ottla.OttlaError` when none has within that time.
    """
    wait_for_broker(KafkaSettings(servers, "ottla-connect", "start"), patience_s)


def client_config(bootstrap_servers: str, **settings: str | int | bool) -> dict[str, Any]:
    """Settings that every client here shares, with these added; `_` in a name stands for `.`.

    librdkafka's own log goes to the logger `librdkafka`, so that a lost connection does not write over a progress bar.
    """
    given = {name.replace("_", "."): value for name, value in settings.items()}
    return {
        "bootstrap.servers": bootstrap_servers,
        "logger": _client_log,
        # When all brokers are away for a moment, as a single one is that restarts, the re-bootstrapping of KIP-1102
        # forgets the transaction coordinator, and a commit may hang (librdkafka 2.16; its issue 5511).
        "metadata.recovery.strategy": "none",
        **given,
    }


def ensure_topic(admin: AdminClient, name: str, partitions: int | None, config: Mapping[str, str]) -> int:
    """Creates the topic unless it exists, None for the broker's default; returns how many partitions it has."""
    existing = partition_counts(admin, [name])
    if name not in existing:
        new = NewTopic(name, num_partitions=partitions or -1, replication_factor=-1, config=dict(config))
        try:
            admin.create_topics([new], request_timeout=REQUEST_TIMEOUT_S)[name].result(REQUEST_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another connector was quicker
                raise
        existing = partition_counts(admin, [name])
    if name not in existing:
        raise BrokerUnavailable(f"topic {name!r} was created, but the broker does not show it yet")
    return existing[name]


def partition_counts(admin: AdminClient, topics: Collection[str]) -> dict[str, int]:
    """The number of partitions of those of the topics that exist."""
    # Asking for all topics: a request that names a topic would create it where the broker creates topics by itself.
    found = admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
    return {name: len(found[name].partitions) for name in topics if name in found and found[name].error is None}


def topic_ids(admin: AdminClient, topics: Collection[str]) -> dict[str, str]:
    """The ids of topics that exist (KIP-516): what tells a topic from a later one of the same name."""
    futures = admin.describe_topics(TopicCollection(list(topics)), request_timeout=REQUEST_TIMEOUT_S)
    return {name: str(future.result(REQUEST_TIMEOUT_S).topic_id) for name, future in futures.items()}


def produce(
    producer: Producer,
    topic: str,
    key: str | bytes | None,
    value: bytes | None,
    headers: Headers,
    timestamp_ms: int | None = None,
    partition: int = -1,
    on_delivery: DeliveryCallback | None = None,
) -> None:
    """Hands a record to the producer, waiting while its queue is full."""
    # The client takes timestamp 0 for "now": the first millisecond of 1970 becomes the second.
    timestamp = 0 if timestamp_ms is None else max(timestamp_ms, 1)
    while True:
        try:
            producer.produce(
                topic, value, key, partition, on_delivery=on_delivery, timestamp=timestamp, headers=list(headers)
            )
            return
        except BufferError:  # the client's queue is full until some of it is sent
            producer.poll(0.1)


def end_offsets(
    admin: AdminClient, partitions: Collection[TopicPartition], isolation: IsolationLevel
) -> dict[TopicPartition, int]:
    """The offset after the last record of each partition that a reader with this isolation level can reach now."""
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    wanted = {ClientTopicPartition(topic, partition): latest for topic, partition in partitions}
    if not wanted:
        return {}
    futures = admin.list_offsets(wanted, isolation_level=isolation, request_timeout=REQUEST_TIMEOUT_S)
    return {TopicPartition(key.topic, key.partition): future.result().offset for key, future in futures.items()}


def _translated(function: Callable[..., _T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _T:
    try:
        return function(*args, **kwargs)
    except KafkaException as error:
        raise connector_error(error) from error


_FENCING = {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH}
_LASTING = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.INVALID_CONFIG,
    KafkaError.INVALID_PARTITIONS,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.POLICY_VIOLATION,
}


def connector_error(failure: KafkaException) -> ConnectorError:
    """What a client's failure means to a connector: fenced, refused for good, or worth another try."""
    error = failure.args[0]
    if not isinstance(error, KafkaError):
        return BrokerError(str(failure))
    if error.code() in _FENCING:
        return Fenced(f"a newer task of this connector has taken over ({error.name()})")
    if error.code() in _LASTING:
        return BrokerError(f"the broker refuses: {error.str()} ({error.name()})")
    return BrokerUnavailable(f"the broker cannot be used just now: {error.str()} ({error.name()})")
