"""OffsetFetch (API key 9): reads offsets that groups have committed.

One group up to version 7, many from 8 on (KIP-709), by topic id from 10 on. Offset -1 stands for none committed.
"""

from uuid import UUID

from ottla_wire.message import Int16, Int32, Int64, Message, Struct, between, since, until


class OffsetFetchRequestTopic(Struct):
    """The partitions of one topic, up to version 7."""

    name: str
    partition_indexes: list[Int32]


class OffsetFetchRequestTopics(Struct):
    """The partitions of one topic, from version 8 on."""

    name: str = until("8-9", default="", ignorable=True)
    topic_id: UUID = since("10+", default=UUID(int=0), ignorable=True)
    partition_indexes: list[Int32]


class OffsetFetchRequestGroup(Struct):
    """A group and the partitions to look up; null is all that it has committed."""

    group_id: str
    member_id: str | None = since("9+", default=None, ignorable=True)
    member_epoch: Int32 = since("9+", default=-1, ignorable=True)
    topics: list[OffsetFetchRequestTopics] | None


class OffsetFetchRequest(Message, key=9, versions="1-10", flexible="6+"):
    """Names groups and partitions."""

    group_id: str = until("0-7", default="")
    topics: list[OffsetFetchRequestTopic] | None = until("0-7", factory=list, nullable="2-7")
    groups: list[OffsetFetchRequestGroup] = since("8+", factory=list)
    require_stable: bool = since("7+", default=False)


class OffsetFetchResponsePartition(Struct):
    """The offset committed for one partition, up to version 7."""

    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: Int32 = since("5+", default=-1, ignorable=True)
    metadata: str | None
    error_code: Int16 = 0


class OffsetFetchResponseTopic(Struct):
    """The partitions of one topic, up to version 7."""

    name: str
    partitions: list[OffsetFetchResponsePartition]


class OffsetFetchResponsePartitions(Struct):
    """The offset committed for one partition, from version 8 on."""

    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: Int32 = -1
    metadata: str | None
    error_code: Int16 = 0


class OffsetFetchResponseTopics(Struct):
    """The partitions of one topic, from version 8 on."""

    name: str = until("8-9", default="", ignorable=True)
    topic_id: UUID = since("10+", default=UUID(int=0), ignorable=True)
    partitions: list[OffsetFetchResponsePartitions]


class OffsetFetchResponseGroup(Struct):
    """The offsets of one group."""

    group_id: str
    topics: list[OffsetFetchResponseTopics]
    error_code: Int16 = 0


class OffsetFetchResponse(Message, key=9, versions="1-10", flexible="6+"):
    """The offsets, by group, topic and partition."""

    throttle_time_ms: Int32 = since("3+", default=0, ignorable=True)
    topics: list[OffsetFetchResponseTopic] = until("0-7", factory=list)
    error_code: Int16 = between("2-7", default=0, ignorable=True)
    groups: list[OffsetFetchResponseGroup] = since("8+", factory=list)
