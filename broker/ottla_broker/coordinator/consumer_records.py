"""The records of consumer groups (KIP-848) in `__consumer_offsets`, in Apache Kafka's own schemas. Pure.

A group is a record with its epoch; each member has one for what it subscribes to, one for what it is to have (its part
of the target assignment) and one for what it has now. A tombstone for each of them ends a member or a group.
"""

import uuid

from ottla_broker.coordinator.records import RecordType
from ottla_wire.message import Int8, Int32, Int64, Message, Struct, tagged


class ConsumerGroupMetadataKey(Message, versions="0", flexible="none"):
    """Names a consumer group."""

    group_id: str


class ConsumerGroupMetadataValue(Message, versions="0", flexible="0+"):
    """The epoch of a group, and a hash of the metadata of the topics it subscribes to (KIP-1101)."""

    epoch: Int32
    metadata_hash: Int64 = tagged(0, versions="0+", default=0)


class ConsumerGroupMemberMetadataKey(Message, versions="0", flexible="none"):
    """Names a member."""

    group_id: str
    member_id: str


class ClassicProtocol(Struct):
    """A protocol of a member that speaks the classic protocol."""

    name: str
    metadata: bytes


class ClassicMemberMetadata(Struct):
    """What a member that speaks the classic protocol has said about itself."""

    session_timeout_ms: Int32
    supported_protocols: list[ClassicProtocol]


class ConsumerGroupMemberMetadataValue(Message, versions="0", flexible="0+"):
    """Who a member is and what it subscribes to."""

    instance_id: str | None
    rack_id: str | None
    client_id: str
    client_host: str
    subscribed_topic_names: list[str]
    subscribed_topic_regex: str | None
    rebalance_timeout_ms: Int32 = -1
    server_assignor: str | None
    classic_member_metadata: ClassicMemberMetadata | None = tagged(0, versions="0+", default=None)


class ConsumerGroupTargetAssignmentMetadataKey(Message, versions="0", flexible="none"):
    """Names the target assignment of a group."""

    group_id: str


class ConsumerGroupTargetAssignmentMetadataValue(Message, versions="0", flexible="0+"):
    """For which epoch of the group the target assignment was computed, and when (KIP-1263)."""

    assignment_epoch: Int32
    assignment_timestamp: Int64 = tagged(0, versions="0+", default=0, ignorable=True)


class ConsumerGroupTargetAssignmentMemberKey(Message, versions="0", flexible="none"):
    """Names a member's part of the target assignment."""

    group_id: str
    member_id: str


class TargetTopicPartitions(Struct):
    """Partitions of one topic that a member is to have."""

    topic_id: uuid.UUID
    partitions: list[Int32]


class ConsumerGroupTargetAssignmentMemberValue(Message, versions="0", flexible="0+"):
    """A member's part of the target assignment."""

    topic_partitions: list[TargetTopicPartitions]


class ConsumerGroupCurrentMemberAssignmentKey(Message, versions="0", flexible="none"):
    """Names what a member has now."""

    group_id: str
    member_id: str


class CurrentTopicPartitions(Struct):
    """Partitions of one topic that a member has, each with the member epoch that gave it (KIP-1251)."""

    topic_id: uuid.UUID
    partitions: list[Int32]
    assignment_epochs: list[Int32] | None = tagged(0, versions="0+", default=None)


class ConsumerGroupCurrentMemberAssignmentValue(Message, versions="0", flexible="0+"):
    """How far a member has come towards the target assignment."""

    member_epoch: Int32
    previous_member_epoch: Int32
    state: Int8
    assigned_partitions: list[CurrentTopicPartitions]
    partitions_pending_revocation: list[CurrentTopicPartitions]


class ConsumerGroupRegularExpressionKey(Message, versions="0", flexible="none"):
    """Names a regular expression that members of a group subscribe to."""

    group_id: str
    regular_expression: str


class ConsumerGroupRegularExpressionValue(Message, versions="0", flexible="0+"):
    """The topics that a regular expression stands for, as of an offset of the metadata log."""

    topics: list[str]
    version: Int64
    timestamp: Int64


# Type 4, a copy of the topics' metadata, was replaced by the hash in Apache Kafka 4.1 and is not read.
RECORD_TYPES = (
    RecordType((3,), ConsumerGroupMetadataKey, ConsumerGroupMetadataValue, write_version=0),
    RecordType((5,), ConsumerGroupMemberMetadataKey, ConsumerGroupMemberMetadataValue, write_version=0),
    RecordType((6,), ConsumerGroupTargetAssignmentMetadataKey, ConsumerGroupTargetAssignmentMetadataValue, 0),
    RecordType((7,), ConsumerGroupTargetAssignmentMemberKey, ConsumerGroupTargetAssignmentMemberValue, 0),
    RecordType((8,), ConsumerGroupCurrentMemberAssignmentKey, ConsumerGroupCurrentMemberAssignmentValue, 0),
    RecordType((16,), ConsumerGroupRegularExpressionKey, ConsumerGroupRegularExpressionValue, write_version=0),
)

ConsumerGroupKey = (
    ConsumerGroupMetadataKey
    | ConsumerGroupMemberMetadataKey
    | ConsumerGroupTargetAssignmentMetadataKey
    | ConsumerGroupTargetAssignmentMemberKey
    | ConsumerGroupCurrentMemberAssignmentKey
    | ConsumerGroupRegularExpressionKey
)
"""Every key of a consumer group's records; all of them name the group."""
