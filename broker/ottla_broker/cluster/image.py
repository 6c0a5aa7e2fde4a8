"""The cluster as its metadata log says it is: brokers, topics, partitions, settings, features.

`ClusterImage.replay` applies one record, and is the only place where the image changes, in life and at recovery alike;
`records` and `restore` are for snapshots. Handlers and the controller read it. The states are immutable: whoever holds
one sees that moment. Pure.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum

import msgspec

from ottla_broker.cluster.records import (
    NO_LEADER_CHANGE,
    BrokerEndpoint,
    BrokerFeature,
    ConfigRecord,
    FeatureLevelRecord,
    MetadataRecord,
    PartitionChangeRecord,
    PartitionRecord,
    ProducerIdsRecord,
    RegisterBrokerRecord,
    RemoveTopicRecord,
    TopicRecord,
    UnregisterBrokerRecord,
)


class ResourceType(IntEnum):
    """What a setting belongs to, as `ConfigResource.Type` numbers it."""

    TOPIC = 2
    BROKER = 4
    GROUP = 32


class BrokerState(msgspec.Struct, frozen=True):
    """A node that is, or was, part of the cluster."""

    id: int
    epoch: int
    incarnation_id: uuid.UUID
    endpoints: tuple[BrokerEndpoint, ...]
    features: tuple[BrokerFeature, ...]
    rack: str | None
    fenced: bool

    def endpoint(self, listener: str) -> BrokerEndpoint | None:
        """Where clients of a listener find this node."""
        return next((endpoint for endpoint in self.endpoints if endpoint.name == listener), None)


class PartitionState(msgspec.Struct, frozen=True):
    """Who holds a partition. `leader` is a node id, or -1 while there is none."""

    topic: str
    topic_id: uuid.UUID
    index: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    leader: int
    leader_epoch: int
    partition_epoch: int
    adding: tuple[int, ...] = ()
    removing: tuple[int, ...] = ()

    def has_min_isr(self, min_insync_replicas: int) -> bool:
        """Whether enough replicas are in sync; no more are ever asked for than the partition has."""
        in_sync = len(self.isr)
        return in_sync >= min_insync_replicas or in_sync >= len(self.replicas)


class TopicState(msgspec.Struct, frozen=True):
    """A topic and its partitions, which are numbered from 0 without gaps."""

    name: str
    id: uuid.UUID
    partitions: tuple[PartitionState, ...] = ()


class ClusterImage:
    """Everything the metadata log has said so far."""

    def __init__(self) -> None:
        self.brokers: dict[int, BrokerState] = {}
        self.topics: dict[str, TopicState] = {}
        self.topics_by_id: dict[uuid.UUID, TopicState] = {}
        self.features: dict[str, int] = {}
        self.next_producer_id = 0
        self.offset = -1  # of the last record replayed
        self.topics_offset = -1  # of the last record that made or removed a topic or partition
        self._configs: dict[tuple[int, str], dict[str, str]] = {}

    def partition(self, topic: str, index: int) -> PartitionState | None:
        """The state of a partition, or None if it does not exist."""
        state = self.topics.get(topic)
        if state is None or not 0 <= index < len(state.partitions):
            return None
        return state.partitions[index]

    def config(self, kind: ResourceType, name: str) -> Mapping[str, str]:
        """The settings that were set for a topic or broker, by name; those at their default are absent."""
        return self._configs.get((kind, name), {})

    def configured(self, kind: ResourceType) -> list[str]:
        """The names of those that settings were set for."""
        return sorted(name for resource, name in self._configs if resource == kind)

    @property
    def live_brokers(self) -> list[int]:
        """Ids of the brokers that may hold replicas, in order."""
        return sorted(broker.id for broker in self.brokers.values() if not broker.fenced)

    def records(self) -> Iterator[MetadataRecord]:
        """The records from which `restore` makes this image."""
        for name, level in self.features.items():
            yield FeatureLevelRecord(name=name, feature_level=level)
        for broker in self.brokers.values():
            yield _registered(broker)
        for topic in self.topics.values():
            yield TopicRecord(name=topic.name, topic_id=topic.id)
            yield from map(_described, topic.partitions)
        for (kind, resource), values in self._configs.items():
            for name, value in values.items():
                yield ConfigRecord(resource_type=kind, resource_name=resource, name=name, value=value)
        if self.next_producer_id:
            yield ProducerIdsRecord(broker_id=-1, next_producer_id=self.next_producer_id)

    def restore(self, records: Iterable[MetadataRecord], end_offset: int) -> None:
        """Take in the records of a snapshot of what came before `end_offset`. Only once, and before all others."""
        assert self.offset < 0, "a snapshot comes before all records"
        for record in records:
            self._apply(record, end_offset - 1)
        self.offset = end_offset - 1

    def replay(self, record: MetadataRecord, offset: int) -> None:
        """Apply the record at `offset` of the metadata log. Records must come in order, each once."""
        assert offset > self.offset, f"record {offset} of the metadata log replayed after {self.offset}"
        self._apply(record, offset)
        self.offset = offset

    def _apply(self, record: MetadataRecord, offset: int) -> None:
        match record:
            case RegisterBrokerRecord():
                self._register(record)
            case UnregisterBrokerRecord():
                del self.brokers[record.broker_id]
            case TopicRecord():
                self._put(TopicState(record.name, record.topic_id))
                self.topics_offset = offset
            case PartitionRecord():
                self._add_partition(record)
                self.topics_offset = offset
            case PartitionChangeRecord():
                self._change_partition(record)
            case RemoveTopicRecord():
                topic = self.topics_by_id.pop(record.topic_id)
                del self.topics[topic.name]
                self._configs.pop((ResourceType.TOPIC, topic.name), None)
                self.topics_offset = offset
            case ConfigRecord():
                self._configure(record)
            case FeatureLevelRecord():
                self.features[record.name] = record.feature_level
            case ProducerIdsRecord():
                self.next_producer_id = record.next_producer_id

    def _register(self, record: RegisterBrokerRecord) -> None:
        self.brokers[record.broker_id] = BrokerState(
            id=record.broker_id,
            epoch=record.broker_epoch,
            incarnation_id=record.incarnation_id,
            endpoints=tuple(record.end_points),
            features=tuple(record.features),
            rack=record.rack,
            fenced=record.fenced,
        )

    def _put(self, topic: TopicState) -> None:
        self.topics[topic.name] = topic
        self.topics_by_id[topic.id] = topic

    def _add_partition(self, record: PartitionRecord) -> None:
        topic = self.topics_by_id[record.topic_id]
        assert record.partition_id == len(topic.partitions), f"partitions of {topic.name} are created in order"
        partition = PartitionState(
            topic=topic.name,
            topic_id=topic.id,
            index=record.partition_id,
            replicas=tuple(record.replicas),
            isr=tuple(record.isr),
            leader=record.leader,
            leader_epoch=record.leader_epoch,
            partition_epoch=record.partition_epoch,
            adding=tuple(record.adding_replicas),
            removing=tuple(record.removing_replicas),
        )
        self._put(msgspec.structs.replace(topic, partitions=(*topic.partitions, partition)))

    def _change_partition(self, record: PartitionChangeRecord) -> None:
        topic = self.topics_by_id[record.topic_id]
        old = topic.partitions[record.partition_id]
        leads_anew = record.leader != NO_LEADER_CHANGE
        new = msgspec.structs.replace(
            old,
            replicas=old.replicas if record.replicas is None else tuple(record.replicas),
            isr=old.isr if record.isr is None else tuple(record.isr),
            leader=record.leader if leads_anew else old.leader,
            leader_epoch=old.leader_epoch + leads_anew,
            partition_epoch=old.partition_epoch + 1,
            adding=old.adding if record.adding_replicas is None else tuple(record.adding_replicas),
            removing=old.removing if record.removing_replicas is None else tuple(record.removing_replicas),
        )
        partitions = (*topic.partitions[: old.index], new, *topic.partitions[old.index + 1 :])
        self._put(msgspec.structs.replace(topic, partitions=partitions))

    def _configure(self, record: ConfigRecord) -> None:
        resource = (record.resource_type, record.resource_name)
        values = self._configs.setdefault(resource, {})
        if record.value is None:
            values.pop(record.name, None)
        else:
            values[record.name] = record.value
        if not values:
            del self._configs[resource]


def _registered(broker: BrokerState) -> RegisterBrokerRecord:
    return RegisterBrokerRecord(
        broker_id=broker.id,
        incarnation_id=broker.incarnation_id,
        broker_epoch=broker.epoch,
        end_points=list(broker.endpoints),
        features=list(broker.features),
        rack=broker.rack,
        fenced=broker.fenced,
    )


def _described(partition: PartitionState) -> PartitionRecord:
    return PartitionRecord(
        partition_id=partition.index,
        topic_id=partition.topic_id,
        replicas=list(partition.replicas),
        isr=list(partition.isr),
        removing_replicas=list(partition.removing),
        adding_replicas=list(partition.adding),
        leader=partition.leader,
        leader_epoch=partition.leader_epoch,
        partition_epoch=partition.partition_epoch,
    )
