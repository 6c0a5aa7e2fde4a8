"""The records of the cluster metadata log, as Apache Kafka defines them (KIP-631, KIP-500).

A record's value is a frame version, the record's type and its version as unsigned varints (all of them below 128, so
one byte each), and the body. Only the records that this broker writes are declared; meeting another type is an error,
because a node that skips what it does not understand would hold a different image than its peers.
"""

import uuid

from ottla_broker.errors import UnknownRecord
from ottla_wire.errors import MalformedMessage
from ottla_wire.message import Int8, Int16, Int32, Int64, Message, Struct, Uint16, since, tagged

NO_LEADER = -1
NO_LEADER_CHANGE = -2

_FRAME_VERSION = 1


class BrokerEndpoint(Struct):
    name: str
    host: str
    port: Uint16
    security_protocol: Int16


class BrokerFeature(Struct):
    name: str
    min_supported_version: Int16
    max_supported_version: Int16


class RegisterBrokerRecord(Message, key=0, versions="0-4", flexible="0+"):
    """A broker joined, or came back under a new incarnation."""

    broker_id: Int32
    is_migrating_zk_broker: bool = since("2+", default=False)
    incarnation_id: uuid.UUID
    broker_epoch: Int64
    end_points: list[BrokerEndpoint]
    features: list[BrokerFeature]
    rack: str | None
    fenced: bool = True
    in_controlled_shutdown: bool = since("1+", default=False)
    log_dirs: list[uuid.UUID] = tagged(0, versions="3+", factory=list)
    cordoned_log_dirs: list[uuid.UUID] | None = tagged(1, versions="4+", default=None)


class UnregisterBrokerRecord(Message, key=1, versions="0", flexible="0+"):
    """A broker is no longer part of the cluster."""

    broker_id: Int32
    broker_epoch: Int64


class TopicRecord(Message, key=2, versions="0", flexible="0+"):
    """A topic exists; its partitions follow as records of their own."""

    name: str
    topic_id: uuid.UUID


class PartitionRecord(Message, key=3, versions="0-2", flexible="0+"):
    """The whole state of a partition."""

    partition_id: Int32 = -1
    topic_id: uuid.UUID
    replicas: list[Int32]
    isr: list[Int32]
    removing_replicas: list[Int32]
    adding_replicas: list[Int32]
    leader: Int32 = NO_LEADER
    leader_recovery_state: Int8 = tagged(0, versions="0+", default=0)
    leader_epoch: Int32 = -1
    partition_epoch: Int32 = -1
    directories: list[uuid.UUID] = since("1+", factory=list)
    eligible_leader_replicas: list[Int32] | None = tagged(1, versions="2+", default=None)
    last_known_elr: list[Int32] | None = tagged(2, versions="2+", default=None)


class ConfigRecord(Message, key=4, versions="0", flexible="0+"):
    """One setting of a topic, broker or other resource; a null value removes it."""

    resource_type: Int8
    resource_name: str
    name: str
    value: str | None


class PartitionChangeRecord(Message, key=5, versions="0-2", flexible="0+"):
    """What changed about a partition; a field left at its default did not.

    A record that names a leader starts a new leader epoch, even if the leader stays the same; every record starts a new
    partition epoch.
    """

    partition_id: Int32 = -1
    topic_id: uuid.UUID
    isr: list[Int32] | None = tagged(0, versions="0+", default=None)
    leader: Int32 = tagged(1, versions="0+", default=NO_LEADER_CHANGE)
    replicas: list[Int32] | None = tagged(2, versions="0+", default=None)
    removing_replicas: list[Int32] | None = tagged(3, versions="0+", default=None)
    adding_replicas: list[Int32] | None = tagged(4, versions="0+", default=None)
    leader_recovery_state: Int8 = tagged(5, versions="0+", default=-1)
    eligible_leader_replicas: list[Int32] | None = tagged(6, versions="2+", default=None)
    last_known_elr: list[Int32] | None = tagged(7, versions="2+", default=None)
    directories: list[uuid.UUID] | None = tagged(8, versions="1+", default=None)


class RemoveTopicRecord(Message, key=9, versions="0", flexible="0+"):
    """A topic is gone, with its partitions and settings."""

    topic_id: uuid.UUID


class FeatureLevelRecord(Message, key=12, versions="0", flexible="0+"):
    """The level at which a feature is finalized; 0 means that it is off."""

    name: str
    feature_level: Int16


class ProducerIdsRecord(Message, key=15, versions="0", flexible="0+"):
    """A block of producer ids was given away; the next block starts at `next_producer_id`."""

    broker_id: Int32
    broker_epoch: Int64 = -1
    next_producer_id: Int64


MetadataRecord = (
    RegisterBrokerRecord
    | UnregisterBrokerRecord
    | TopicRecord
    | PartitionRecord
    | ConfigRecord
    | PartitionChangeRecord
    | RemoveTopicRecord
    | FeatureLevelRecord
    | ProducerIdsRecord
)

# The version in which each type is written, that of metadata.version 4.0-IV3.
_WRITTEN: dict[type[Message], int] = {
    RegisterBrokerRecord: 3,
    UnregisterBrokerRecord: 0,
    TopicRecord: 0,
    PartitionRecord: 1,
    ConfigRecord: 0,
    PartitionChangeRecord: 1,
    RemoveTopicRecord: 0,
    FeatureLevelRecord: 0,
    ProducerIdsRecord: 0,
}
_BY_KEY: dict[int, type[Message]] = {record.api_key: record for record in _WRITTEN}


def encode_record(record: MetadataRecord) -> bytes:
    """The value under which a record is stored in the metadata log."""
    version = _WRITTEN[type(record)]
    return bytes((_FRAME_VERSION, record.api_key, version)) + record.encode(version)


def decode_record(value: bytes) -> MetadataRecord:
    """Read a stored value back. Raises UnknownRecord, or MalformedMessage for one that is cut short."""
    if len(value) < 3:
        raise MalformedMessage(f"a metadata record of {len(value)} bytes has no header")
    frame_version, key, version = value[:3]
    record = _BY_KEY.get(key)
    if frame_version != _FRAME_VERSION or record is None or version not in record.versions:
        raise UnknownRecord(
            f"the metadata log holds a record of type {key} version {version}, which this version does not know"
        )
    decoded, _ = record.decode(value, version, 3)
    return decoded  # type: ignore[return-value]
