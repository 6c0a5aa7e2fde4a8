"""The records of `__consumer_offsets` for offsets and classic groups, in Apache Kafka's own schemas. Pure.

Kafka's group-coordinator schemas; its tools (`kafka-dump-log --offsets-decoder`, the console consumer's offsets
formatter) read what is written here, and a log written by Kafka loads.
"""

import uuid

from ottla_broker.coordinator.records import RecordType
from ottla_wire.message import Int32, Int64, Message, Struct, between, since, tagged


class OffsetCommitKey(Message, versions="0", flexible="none"):
    """Names a committed offset."""

    group: str
    topic: str
    partition: Int32


class OffsetCommitValue(Message, versions="0-4", flexible="4+"):
    """A committed offset."""

    offset: Int64
    leader_epoch: Int32 = since("3+", default=-1, ignorable=True)
    metadata: str
    commit_timestamp: Int64
    expire_timestamp: Int64 = between("1", default=-1, ignorable=True)
    topic_id: uuid.UUID = tagged(0, versions="4+", default=uuid.UUID(int=0), ignorable=True)


class MemberMetadata(Struct):
    """A member of a generation of a classic group."""

    member_id: str
    group_instance_id: str | None = since("3+", default=None, ignorable=True)
    client_id: str
    client_host: str
    rebalance_timeout: Int32 = since("1+", default=-1, ignorable=True)
    session_timeout: Int32
    subscription: bytes
    assignment: bytes


class GroupMetadataKey(Message, versions="0", flexible="none"):
    """Names a classic group."""

    group: str


class GroupMetadataValue(Message, versions="0-4", flexible="4+"):
    """A generation of a classic group: the outcome of a rebalance."""

    protocol_type: str
    generation: Int32
    protocol: str | None
    leader: str | None
    current_state_timestamp: Int64 = since("2+", default=-1, ignorable=True)
    members: list[MemberMetadata]


# A key's type, which precedes it in the log, is the highest version that the schema ever had: 0 and 1 were offsets by
# the old and the new key, 2 a group. Types from 3 on belong to the groups of KIP-848 and later.
RECORD_TYPES = (
    RecordType(types=(0, 1), key=OffsetCommitKey, value=OffsetCommitValue, write_version=3),
    RecordType(types=(2,), key=GroupMetadataKey, value=GroupMetadataValue, write_version=3),
)
"""Offsets and groups. Version 3 of the values is what every Kafka since 2.1 reads."""


def offset_value_version(value: Message) -> int | None:
    """An offset with an expiry of its own needs version 1, the only one that carries it (OffsetCommit 2 to 4)."""
    return 1 if isinstance(value, OffsetCommitValue) and value.expire_timestamp != -1 else None
