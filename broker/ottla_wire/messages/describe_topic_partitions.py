"""DescribeTopicPartitions (API key 75): pages through topics and their partitions (KIP-966)."""

from uuid import UUID

from ottla_wire.message import Int16, Int32, Message, Struct


class TopicRequest(Struct):
    """A topic to describe."""

    name: str


class Cursor(Struct):
    """The topic and partition at which a page begins."""

    topic_name: str
    partition_index: Int32


class DescribeTopicPartitionsRequest(Message, key=75, versions="0", flexible="0+"):
    """Names topics, none for all, and the page to return."""

    topics: list[TopicRequest]
    response_partition_limit: Int32 = 2000
    cursor: Cursor | None = None


class DescribeTopicPartitionsResponsePartition(Struct):
    """A partition, with its eligible and last known leaders."""

    error_code: Int16 = 0
    partition_index: Int32
    leader_id: Int32
    leader_epoch: Int32 = -1
    replica_nodes: list[Int32]
    isr_nodes: list[Int32]
    eligible_leader_replicas: list[Int32] | None = None
    last_known_elr: list[Int32] | None = None
    offline_replicas: list[Int32]


class DescribeTopicPartitionsResponseTopic(Struct):
    """A topic and those of its partitions that the page holds."""

    error_code: Int16 = 0
    name: str | None
    topic_id: UUID
    is_internal: bool = False
    partitions: list[DescribeTopicPartitionsResponsePartition]
    topic_authorized_operations: Int32 = -(2**31)


class DescribeTopicPartitionsResponse(Message, key=75, versions="0", flexible="0+"):
    """A page of topics, and where the next begins; null ends."""

    throttle_time_ms: Int32 = 0
    topics: list[DescribeTopicPartitionsResponseTopic]
    next_cursor: Cursor | None = None
