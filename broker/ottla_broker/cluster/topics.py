"""What the controller decides about topics: creation, deletion, more partitions. Pure: image in, records out.

Every function raises KafkaError with the code and sentence that the client gets, and changes nothing.
"""

import re
import uuid
from collections.abc import Mapping, Sequence

import msgspec

from ottla_broker.cluster.image import ClusterImage, ResourceType, TopicState
from ottla_broker.cluster.placement import place_replicas
from ottla_broker.cluster.records import (
    ConfigRecord,
    MetadataRecord,
    PartitionRecord,
    RemoveTopicRecord,
    TopicRecord,
)
from ottla_broker.log.config import LogConfig
from ottla_wire.errors import ErrorCode, KafkaError

MAX_NAME_LENGTH = 249
# More than any topic in use has; creating partitions is work and memory that a single request should not multiply.
MAX_PARTITIONS_PER_REQUEST = 10_000

CONSUMER_OFFSETS = "__consumer_offsets"
TRANSACTION_STATE = "__transaction_state"
CLUSTER_METADATA = "__cluster_metadata"
INTERNAL_TOPICS = frozenset({CONSUMER_OFFSETS, TRANSACTION_STATE})

_LEGAL_NAME = re.compile(r"[a-zA-Z0-9._-]+")
_USE_DEFAULT = -1


class TopicDefaults(msgspec.Struct, frozen=True):
    """What a topic gets that its creator leaves open."""

    partitions: int
    replication_factor: int
    config: LogConfig


class NewTopic(msgspec.Struct, frozen=True):
    """A topic to be created. -1 stands for the default; `assignments` gives the replicas by partition instead."""

    name: str
    partitions: int = _USE_DEFAULT
    replication_factor: int = _USE_DEFAULT
    assignments: Mapping[int, Sequence[int]] = {}
    config: Mapping[str, str | None] = {}


class CreatedTopic(msgspec.Struct, frozen=True):
    """What became of a NewTopic."""

    id: uuid.UUID
    partitions: int
    replication_factor: int
    config: LogConfig


def validate_name(name: str) -> None:
    """Raises KafkaError INVALID_TOPIC_EXCEPTION for a name that Kafka does not allow."""
    if not name:
        reason = "the empty string is not allowed"
    elif name in (".", ".."):
        reason = f"{name!r} is not allowed"
    elif len(name) > MAX_NAME_LENGTH:
        reason = f"it has {len(name)} characters, the limit is {MAX_NAME_LENGTH}"
    elif not _LEGAL_NAME.fullmatch(name):
        reason = f"{name!r} contains characters other than ASCII letters, digits, '.', '_' and '-'"
    else:
        return
    raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"Topic name is invalid: {reason}")


def is_internal(topic: str) -> bool:
    """Whether clients treat the topic as belonging to Kafka itself."""
    return topic in INTERNAL_TOPICS


def create_topic(
    image: ClusterImage, new: NewTopic, defaults: TopicDefaults, topic_id: uuid.UUID
) -> tuple[list[MetadataRecord], CreatedTopic]:
    """The records that create a topic."""
    validate_name(new.name)
    _check_free(image, new.name)
    replicas = _replicas(image, new, defaults)
    config = LogConfig.parse(_given(new.config), defaults.config)
    records: list[MetadataRecord] = [TopicRecord(name=new.name, topic_id=topic_id)]
    records += _config_records(new)
    records += [_partition_record(topic_id, index, nodes) for index, nodes in enumerate(replicas)]
    return records, CreatedTopic(topic_id, len(replicas), len(replicas[0]), config)


def delete_topic(topic: TopicState) -> list[MetadataRecord]:
    """The records that delete a topic."""
    return [RemoveTopicRecord(topic_id=topic.id)]


def create_partitions(
    image: ClusterImage, topic: TopicState, count: int, assignments: Sequence[Sequence[int]] | None
) -> list[MetadataRecord]:
    """The records that raise the number of a topic's partitions to `count`.

    `assignments` gives the replicas of each new partition; None leaves them to the controller.
    """
    existing = len(topic.partitions)
    if count < existing:
        raise KafkaError(
            ErrorCode.INVALID_PARTITIONS, f"The topic {topic.name} has {existing} partitions; {count} would be fewer"
        )
    if count == existing:
        raise KafkaError(ErrorCode.INVALID_PARTITIONS, f"The topic {topic.name} has {existing} partitions already")
    _check_count(count - existing)
    added = range(existing, count)
    if assignments is None:
        factor = len(topic.partitions[0].replicas)
        replicas = place_replicas(image.live_brokers, len(added), factor, first=existing)
    else:
        if len(assignments) != len(added):
            raise KafkaError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"{len(added)} partitions are to be added, but {len(assignments)} assignments are given",
            )
        replicas = [_check_assignment(image, index, nodes) for index, nodes in zip(added, assignments, strict=True)]
    return [_partition_record(topic.id, index, nodes) for index, nodes in zip(added, replicas, strict=True)]


def _check_free(image: ClusterImage, name: str) -> None:
    if name in image.topics:
        raise KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
    # Kafka's metric names fold '.' into '_', so that it refuses names that differ in nothing else; we keep the rule for
    # the sake of topics that are mirrored there.
    if "." in name or "_" in name:
        folded = name.replace(".", "_")
        for other in image.topics:
            if other.replace(".", "_") == folded:
                raise KafkaError(
                    ErrorCode.INVALID_TOPIC_EXCEPTION, f"Topic '{name}' collides with existing topic: {other}"
                )


def _check_count(partitions: int) -> None:
    if partitions > MAX_PARTITIONS_PER_REQUEST:
        raise KafkaError(
            ErrorCode.INVALID_PARTITIONS,
            f"{partitions} partitions are more than one request may create ({MAX_PARTITIONS_PER_REQUEST})",
        )


def _replicas(image: ClusterImage, new: NewTopic, defaults: TopicDefaults) -> list[tuple[int, ...]]:
    """Which nodes hold each partition of a new topic."""
    if new.assignments:
        if new.partitions != _USE_DEFAULT or new.replication_factor != _USE_DEFAULT:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST,
                "A replica assignment leaves nothing open: the number of partitions and the replication factor "
                "must both be -1",
            )
        if sorted(new.assignments) != list(range(len(new.assignments))):
            raise KafkaError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT, "The partitions of an assignment must be 0, 1, 2 and so on"
            )
        _check_count(len(new.assignments))
        replicas = [_check_assignment(image, index, new.assignments[index]) for index in range(len(new.assignments))]
        if len({len(nodes) for nodes in replicas}) > 1:
            raise KafkaError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT, "All partitions must have the same number of replicas"
            )
        return replicas
    partitions = defaults.partitions if new.partitions == _USE_DEFAULT else new.partitions
    factor = defaults.replication_factor if new.replication_factor == _USE_DEFAULT else new.replication_factor
    if partitions <= 0:
        raise KafkaError(ErrorCode.INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value.")
    if factor <= 0:
        raise KafkaError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        )
    _check_count(partitions)
    return place_replicas(image.live_brokers, partitions, factor, first=len(image.topics))


def _check_assignment(image: ClusterImage, index: int, nodes: Sequence[int]) -> tuple[int, ...]:
    if not nodes or len(set(nodes)) != len(nodes):
        raise KafkaError(
            ErrorCode.INVALID_REPLICA_ASSIGNMENT, f"The replicas of partition {index} are empty or repeat a node"
        )
    for node in nodes:
        if node not in image.live_brokers:
            raise KafkaError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"Partition {index} is assigned to node {node}, which is not there",
            )
    return tuple(nodes)


def _given(config: Mapping[str, str | None]) -> dict[str, str]:
    for name, value in config.items():
        if value is None:
            raise KafkaError(ErrorCode.INVALID_CONFIG, f"Null value not supported for topic configs: {name}")
    return {name: value for name, value in config.items() if value is not None}


def _config_records(new: NewTopic) -> list[MetadataRecord]:
    return [
        ConfigRecord(resource_type=ResourceType.TOPIC, resource_name=new.name, name=name, value=value)
        for name, value in new.config.items()
    ]


def _partition_record(topic_id: uuid.UUID, index: int, nodes: Sequence[int]) -> PartitionRecord:
    return PartitionRecord(
        partition_id=index,
        topic_id=topic_id,
        replicas=list(nodes),
        isr=list(nodes),
        removing_replicas=[],
        adding_replicas=[],
        leader=nodes[0],
        leader_epoch=0,
        partition_epoch=0,
    )
