"""DescribeQuorum (API key 55): the state of the metadata quorum (KIP-595)."""

from uuid import UUID

from ottla_wire.message import Int16, Int32, Int64, Message, Struct, Uint16, since


class PartitionData(Struct):
    """A partition to look at; it is always partition 0 of the metadata topic."""

    partition_index: Int32


class TopicData(Struct):
    """The partitions of one topic."""

    topic_name: str
    partitions: list[PartitionData]


class DescribeQuorumRequest(Message, key=55, versions="0-2", flexible="0+"):
    """Names the partitions to look at."""

    topics: list[TopicData]


class ReplicaState(Struct):
    """How far one replica has come; timestamps in milliseconds, -1 where unknown."""

    replica_id: Int32
    replica_directory_id: UUID = since("2+", default=UUID(int=0))
    log_end_offset: Int64
    last_fetch_timestamp: Int64 = since("1+", default=-1, ignorable=True)
    last_caught_up_timestamp: Int64 = since("1+", default=-1, ignorable=True)


class ResponsePartitionData(Struct):
    """The leader, voters and observers of one partition."""

    partition_index: Int32
    error_code: Int16 = 0
    error_message: str | None = since("2+", default=None, ignorable=True)
    leader_id: Int32
    leader_epoch: Int32
    high_watermark: Int64
    current_voters: list[ReplicaState]
    observers: list[ReplicaState]


class ResponseTopicData(Struct):
    """The partitions of one topic."""

    topic_name: str
    partitions: list[ResponsePartitionData]


class Listener(Struct):
    """An endpoint of a node."""

    name: str
    host: str
    port: Uint16


class Node(Struct):
    """A controller and where it listens (KIP-853)."""

    node_id: Int32
    listeners: list[Listener]


class DescribeQuorumResponse(Message, key=55, versions="0-2", flexible="0+"):
    """The state of the quorum, by topic and partition."""

    error_code: Int16 = 0
    error_message: str | None = since("2+", default=None, ignorable=True)
    topics: list[ResponseTopicData]
    nodes: list[Node] = since("2+", factory=list)
