"""OffsetCommit (API key 8): stores a group's offsets; by topic id from version 10 on."""

from uuid import UUID

from ottla_wire.message import Int16, Int32, Int64, Message, Struct, since, until


class OffsetCommitRequestPartition(Struct):
    """The offset to commit for one partition, with the client's metadata."""

    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: Int32 = since("6+", default=-1, ignorable=True)
    committed_metadata: str | None


class OffsetCommitRequestTopic(Struct):
    """The partitions of one topic."""

    name: str = until("0-9", default="", ignorable=True)
    topic_id: UUID = since("10+", default=UUID(int=0), ignorable=True)
    partitions: list[OffsetCommitRequestPartition]


class OffsetCommitRequest(Message, key=8, versions="2-10", flexible="8+"):
    """Commits offsets for a group; generation -1 without membership."""

    group_id: str
    generation_id_or_member_epoch: Int32 = -1
    member_id: str
    group_instance_id: str | None = since("7+", default=None)
    retention_time_ms: Int64 = until("2-4", default=-1, ignorable=True)
    topics: list[OffsetCommitRequestTopic]


class OffsetCommitResponsePartition(Struct):
    """How it went for one partition."""

    partition_index: Int32
    error_code: Int16 = 0


class OffsetCommitResponseTopic(Struct):
    """How it went for one topic."""

    name: str = until("0-9", default="", ignorable=True)
    topic_id: UUID = since("10+", default=UUID(int=0), ignorable=True)
    partitions: list[OffsetCommitResponsePartition]


class OffsetCommitResponse(Message, key=8, versions="2-10", flexible="8+"):
    """How it went, by topic and partition."""

    throttle_time_ms: Int32 = since("3+", default=0, ignorable=True)
    topics: list[OffsetCommitResponseTopic]
