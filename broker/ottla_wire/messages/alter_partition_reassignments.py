"""AlterPartitionReassignments (API key 45): moves partitions to other replicas (KIP-455)."""

from ottla_wire.message import Int16, Int32, Message, Struct, since


class ReassignablePartition(Struct):
    """A partition and the replicas to move to; null cancels the move."""

    partition_index: Int32
    replicas: list[Int32] | None = None


class ReassignableTopic(Struct):
    """The partitions of one topic to move."""

    name: str
    partitions: list[ReassignablePartition]


class AlterPartitionReassignmentsRequest(Message, key=45, versions="0-1", flexible="0+"):
    """Starts or cancels reassignments."""

    timeout_ms: Int32 = 60000
    allow_replication_factor_change: bool = since("1+", default=True)
    topics: list[ReassignableTopic]


class ReassignablePartitionResponse(Struct):
    """How it went for one partition."""

    partition_index: Int32
    error_code: Int16 = 0
    error_message: str | None = None


class ReassignableTopicResponse(Struct):
    """How it went for one topic."""

    name: str
    partitions: list[ReassignablePartitionResponse]


class AlterPartitionReassignmentsResponse(Message, key=45, versions="0-1", flexible="0+"):
    """How it went, by topic and partition."""

    throttle_time_ms: Int32 = 0
    allow_replication_factor_change: bool = since("1+", default=True, ignorable=True)
    error_code: Int16 = 0
    error_message: str | None = None
    responses: list[ReassignableTopicResponse]
