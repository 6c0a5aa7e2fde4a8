"""ListOffsets (API key 2): finds offsets by timestamp, or the ends of partitions (KIP-79)."""

from ottla_wire.message import Int8, Int16, Int32, Int64, Message, Struct, since


class ListOffsetsPartition(Struct):
    """A partition and a timestamp in ms: -1 latest, -2 earliest, -3 of the largest timestamp, -4 earliest local."""

    partition_index: Int32
    current_leader_epoch: Int32 = since("4+", default=-1, ignorable=True)
    timestamp: Int64


class ListOffsetsTopic(Struct):
    """The partitions of one topic."""

    name: str
    partitions: list[ListOffsetsPartition]


class ListOffsetsRequest(Message, key=2, versions="1-11", flexible="6+"):
    """Looks up offsets."""

    replica_id: Int32
    isolation_level: Int8 = since("2+", default=0)
    topics: list[ListOffsetsTopic]
    timeout_ms: Int32 = since("10+", default=0, ignorable=True)


class ListOffsetsPartitionResponse(Struct):
    """The offset found in one partition and its timestamp; -1 where there is none."""

    partition_index: Int32
    error_code: Int16 = 0
    timestamp: Int64 = -1
    offset: Int64 = -1
    leader_epoch: Int32 = since("4+", default=-1)


class ListOffsetsTopicResponse(Struct):
    """The partitions of one topic."""

    name: str
    partitions: list[ListOffsetsPartitionResponse]


class ListOffsetsResponse(Message, key=2, versions="1-11", flexible="6+"):
    """The offsets found, by topic and partition."""

    throttle_time_ms: Int32 = since("2+", default=0, ignorable=True)
    topics: list[ListOffsetsTopicResponse]
