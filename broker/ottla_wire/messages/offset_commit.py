"""OffsetCommit, API key 8."""

from uuid import UUID

from ottla_wire.message import Int16, Int32, Int64, Message, Struct, since, until


class OffsetCommitRequestPartition(Struct):
    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: Int32 = since("6+", default=-1, ignorable=True)
    committed_metadata: str | None


class OffsetCommitRequestTopic(Struct):
    name: str = until("0-9", default="", ignorable=True)
    topic_id: UUID = since("10+", default=UUID(int=0), ignorable=True)
    partitions: list[OffsetCommitRequestPartition]


class OffsetCommitRequest(Message, key=8, versions="2-10", flexible="8+"):
    group_id: str
    generation_id_or_member_epoch: Int32 = -1
    member_id: str
    group_instance_id: str | None = since("7+", default=None)
    retention_time_ms: Int64 = until("2-4", default=-1, ignorable=True)
    topics: list[OffsetCommitRequestTopic]


class OffsetCommitResponsePartition(Struct):
    partition_index: Int32
    error_code: Int16 = 0


class OffsetCommitResponseTopic(Struct):
    name: str = until("0-9", default="", ignorable=True)
    topic_id: UUID = since("10+", default=UUID(int=0), ignorable=True)
    partitions: list[OffsetCommitResponsePartition]


class OffsetCommitResponse(Message, key=8, versions="2-10", flexible="8+"):
    throttle_time_ms: Int32 = since("3+", default=0, ignorable=True)
    topics: list[OffsetCommitResponseTopic]
