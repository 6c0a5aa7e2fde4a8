"""AlterPartitionReassignments, API key 45."""

from ottla_wire.message import Int16, Int32, Message, Struct, since


class ReassignablePartition(Struct):
    partition_index: Int32
    replicas: list[Int32] | None = None


class ReassignableTopic(Struct):
    name: str
    partitions: list[ReassignablePartition]


class AlterPartitionReassignmentsRequest(Message, key=45, versions="0-1", flexible="0+"):
    timeout_ms: Int32 = 60000
    allow_replication_factor_change: bool = since("1+", default=True)
    topics: list[ReassignableTopic]


class ReassignablePartitionResponse(Struct):
    partition_index: Int32
    error_code: Int16 = 0
    error_message: str | None = None


class ReassignableTopicResponse(Struct):
    name: str
    partitions: list[ReassignablePartitionResponse]


class AlterPartitionReassignmentsResponse(Message, key=45, versions="0-1", flexible="0+"):
    throttle_time_ms: Int32 = 0
    allow_replication_factor_change: bool = since("1+", default=True, ignorable=True)
    error_code: Int16 = 0
    error_message: str | None = None
    responses: list[ReassignableTopicResponse]
