"""DescribeProducers (API key 61): the producers that are active in partitions (KIP-664)."""

from ottla_wire.message import Int16, Int32, Int64, Message, Struct


class TopicRequest(Struct):
    """The partitions of one topic to look at."""

    name: str
    partition_indexes: list[Int32]


class DescribeProducersRequest(Message, key=61, versions="0", flexible="0+"):
    """Names the partitions to look at."""

    topics: list[TopicRequest]


class ProducerState(Struct):
    """What a partition knows of one producer; -1 where it has no sequence number or open transaction."""

    producer_id: Int64
    producer_epoch: Int32
    last_sequence: Int32 = -1
    last_timestamp: Int64 = -1
    coordinator_epoch: Int32
    current_txn_start_offset: Int64 = -1


class PartitionResponse(Struct):
    """The active producers of one partition."""

    partition_index: Int32
    error_code: Int16 = 0
    error_message: str | None = None
    active_producers: list[ProducerState]


class TopicResponse(Struct):
    """The partitions of one topic."""

    name: str
    partitions: list[PartitionResponse]


class DescribeProducersResponse(Message, key=61, versions="0", flexible="0+"):
    """The active producers, by topic and partition."""

    throttle_time_ms: Int32 = 0
    topics: list[TopicResponse]
