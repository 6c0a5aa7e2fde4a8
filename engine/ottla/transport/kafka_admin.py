"""What the Kafka transport asks of a cluster besides reading and writing: topics and offsets. Blocking calls.

Each may be asked twice without harm, and is while no broker answers, or one that does not know its part yet: a worker
must not end because a broker is started again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import confluent_kafka
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    Uuid,
)
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec  # type: ignore[attr-defined]
from confluent_kafka.cimpl import NewTopic

from ottla.transport.contract import ANY_TIME, OffsetRange, TopicPartition, TopicSpec, TopicState
from ottla.transport.errors import TransportError
from ottla.transport.kafka_messages import kafka_error, transport_error

_TIMEOUT_S = 30.0
_PATIENCE_S = 60.0
"""As long as a worker waits for its broker before it begins: one that starts again may take half a minute alone."""
_RETRY_EVERY_S = 0.1
_TIME_BOUNDS = ("message.timestamp.before.max.ms", "message.timestamp.after.max.ms")
"""What Kafka before 3.6 does not know (KIP-937)."""
_NO_ID = str(Uuid(0, 0))
_PASSING = {
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_CONTROLLER,
    KafkaError.LEADER_NOT_AVAILABLE,
    # The client asked a leader that it remembers, and which is it no more, or since its restart leads in a new epoch.
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    # A new leader does not know yet how far its predecessor had come (KIP-207): an older end would be a wrong one.
    KafkaError.OFFSET_NOT_AVAILABLE,
    KafkaError._NOENT,  # what librdkafka says when none of the partitions has a leader, as after a broker's restart
}

P = ParamSpec("P")
T = TypeVar("T")


def _patient(ask: Callable[Concatenate[AdminClient, P], T]) -> Callable[Concatenate[AdminClient, P], T]:
    """Asks again after an error that passes, for as long as a broker takes to start again."""

    @wraps(ask)
    def asked(admin: AdminClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return ask(admin, *args, **kwargs)
            except TransportError as error:
                failure = error.__cause__
                passes = isinstance(failure, KafkaException) and kafka_error(failure).code() in _PASSING
                if not passes or time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_EVERY_S)
            with suppress(KafkaException):
                admin.list_topics(timeout=_TIMEOUT_S)  # brings the client's metadata up to date

    return asked


@_patient
def topics(admin: AdminClient) -> dict[str, int]:
    """Every topic that there is, with its partition count."""
    try:
        found = admin.list_topics(timeout=_TIMEOUT_S).topics
    except KafkaException as failure:
        raise transport_error(kafka_error(failure), "listing the topics") from failure
    return {topic: len(described.partitions) for topic, described in found.items() if described.error is None}


@_patient
def topic_states(admin: AdminClient, topics: list[str]) -> dict[str, TopicState]:
    """The topics that exist, as they are now. A broker before Kafka 2.8 gives topics no ids."""
    if not topics:
        return {}
    states = {}
    for topic, future in admin.describe_topics(TopicCollection(topics), request_timeout=_TIMEOUT_S).items():
        try:
            described = future.result()
            states[topic] = TopicState(len(described.partitions), _id_of(described.topic_id))
        except KafkaException as failure:
            error = kafka_error(failure)
            if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise transport_error(error, f"describing topic {topic!r}") from failure
    return states


def _id_of(topic_id: Uuid | None) -> str | None:
    return None if topic_id is None or str(topic_id) == _NO_ID else str(topic_id)


def partition_counts(admin: AdminClient, topics: list[str]) -> dict[str, int]:
    """The partition count of each topic that exists."""
    return {topic: state.partitions for topic, state in topic_states(admin, topics).items()}


@_patient
def topic_configs(admin: AdminClient, topics: list[str]) -> dict[str, Mapping[str, str | None]]:
    """The configs of the topics that exist, in full."""
    if not topics:
        return {}
    asked = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
    found: dict[str, Mapping[str, str | None]] = {}
    for resource, future in admin.describe_configs(asked, request_timeout=_TIMEOUT_S).items():
        try:
            found[resource.name] = {name: entry.value for name, entry in future.result().items()}
        except KafkaException as failure:
            error = kafka_error(failure)
            if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise transport_error(error, f"reading the config of topic {resource.name!r}") from failure
    return found


@_patient
def create_topics(admin: AdminClient, specs: Sequence[TopicSpec]) -> None:
    """Creates topics with the cluster's default replication and waits until their leaders serve them.

    A leader that does not know its topic yet answers a client that reads or writes with one it does not know either, at
    which librdkafka may crash (2.16; its issue 5280).
    """
    if not specs:
        return
    if refused := _create_topics(admin, specs):
        _create_topics(admin, [_without_time_bounds(spec) for spec in refused])
    deadline = time.monotonic() + _TIMEOUT_S
    names = [spec.name for spec in specs]
    while missing := set(names) - set(counts := partition_counts(admin, names)):
        if time.monotonic() > deadline:
            raise TransportError(f"topic {min(missing)!r} was created, but no broker serves it after {_TIMEOUT_S:g} s")
        time.sleep(0.05)
    partitions = [TopicPartition(name, number) for name in names for number in range(counts[name])]
    _list_offsets(admin, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]


def _create_topics(admin: AdminClient, specs: Sequence[TopicSpec]) -> list[TopicSpec]:
    """Asks for the topics, and returns those that are refused for bounds of time which the broker does not know."""
    new = [NewTopic(spec.name, spec.partitions or 1, replication_factor=-1, config=dict(spec.config)) for spec in specs]
    futures = admin.create_topics(new, request_timeout=_TIMEOUT_S, operation_timeout=_TIMEOUT_S)
    refused = []
    for spec in specs:
        try:
            futures[spec.name].result()
        except KafkaException as failure:
            error = kafka_error(failure)
            if error.code() == KafkaError.INVALID_CONFIG and any(name in error.str() for name in _bounds_in(spec)):
                refused.append(spec)
            elif error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise transport_error(error, f"creating topic {spec.name!r}") from failure
    return refused


def _bounds_in(spec: TopicSpec) -> set[str]:
    return {name for name, value in spec.config.items() if name in _TIME_BOUNDS and ANY_TIME[name] == value}


def _without_time_bounds(spec: TopicSpec) -> TopicSpec:
    """The same topic for a broker before Kafka 3.6, which takes any time unless it is told otherwise."""
    unknown = _bounds_in(spec)
    return replace(spec, config={name: value for name, value in spec.config.items() if name not in unknown})


@_patient
def group_members(admin: AdminClient, group: str) -> set[str]:
    """The static members of a consumer group, by their instance ids."""
    described = admin.describe_consumer_groups([group], request_timeout=_TIMEOUT_S)[group]
    try:
        members = described.result().members
    except KafkaException as failure:
        raise transport_error(kafka_error(failure), f"describing group {group!r}") from failure
    return {member.group_instance_id for member in members if member.group_instance_id is not None}


def offset_ranges(admin: AdminClient, partitions: list[TopicPartition]) -> dict[TopicPartition, OffsetRange]:
    """The log start offset and the high watermark of each partition."""
    if not partitions:
        return {}
    starts = _list_offsets(admin, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
    ends = _list_offsets(admin, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    return {where: OffsetRange(starts[where], ends[where]) for where in partitions}


def offsets_at(
    admin: AdminClient, partitions: list[TopicPartition], where: Literal["earliest", "latest"] | int
) -> dict[TopicPartition, int]:
    """The offset of each partition at an end, or of the first record from a time (milliseconds) on; without one, the
    end.
    """
    ranges = offset_ranges(admin, partitions)
    if where == "earliest":
        return {partition: held.start for partition, held in ranges.items()}
    if where == "latest" or not partitions:
        return {partition: held.end for partition, held in ranges.items()}
    found = _list_offsets(admin, partitions, OffsetSpec.for_timestamp(where))
    return {partition: offset if offset >= 0 else ranges[partition].end for partition, offset in found.items()}


@_patient
def delete_group(admin: AdminClient, group: str) -> None:
    """Deletes a group that has no members, with its offsets. One that does not exist is no error."""
    try:
        admin.delete_consumer_groups([group], request_timeout=_TIMEOUT_S)[group].result()
    except KafkaException as failure:
        error = kafka_error(failure)
        if error.code() != KafkaError.GROUP_ID_NOT_FOUND:
            raise transport_error(error, f"deleting group {group!r}") from failure


@_patient
def set_group_offsets(admin: AdminClient, group: str, offsets: Mapping[TopicPartition, int]) -> None:
    """Sets committed offsets of a group that has no members."""
    if not offsets:
        return
    positions = [confluent_kafka.TopicPartition(*where, offset) for where, offset in offsets.items()]
    request = [ConsumerGroupTopicPartitions(group, positions)]
    try:
        found = admin.alter_consumer_group_offsets(request, request_timeout=_TIMEOUT_S)[group].result()
    except KafkaException as failure:
        raise transport_error(kafka_error(failure), f"setting offsets of group {group!r}") from failure
    for each in found.topic_partitions:
        if each.error is not None:
            raise transport_error(each.error, f"setting the offset of {each.topic}[{each.partition}]")


@_patient
def delete_topics(admin: AdminClient, topics: list[str]) -> None:
    """Deletes topics. One that does not exist any more is no error."""
    if not topics:
        return
    for topic, future in admin.delete_topics(topics, request_timeout=_TIMEOUT_S).items():
        try:
            future.result()
        except KafkaException as failure:
            error = kafka_error(failure)
            if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise transport_error(error, f"deleting topic {topic!r}") from failure


@_patient
def delete_records(admin: AdminClient, before: Mapping[TopicPartition, int]) -> None:
    """Deletes what lies before the offset of each partition."""
    asked = [confluent_kafka.TopicPartition(*where, offset) for where, offset in before.items()]
    for where, future in admin.delete_records(asked, request_timeout=_TIMEOUT_S).items():
        try:
            future.result()
        except KafkaException as failure:
            raise transport_error(
                kafka_error(failure), f"deleting records of {where.topic}[{where.partition}]"
            ) from failure


@_patient
def _list_offsets(admin: AdminClient, partitions: list[TopicPartition], spec: Any) -> dict[TopicPartition, int]:
    asked = {confluent_kafka.TopicPartition(*where): spec for where in partitions}
    futures = admin.list_offsets(asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=_TIMEOUT_S)
    found = {}
    for where, future in futures.items():
        try:
            found[TopicPartition(where.topic, where.partition)] = future.result().offset
        except KafkaException as failure:
            doing = f"listing offsets of {where.topic}[{where.partition}]"
            raise transport_error(kafka_error(failure), doing) from failure
    return found
