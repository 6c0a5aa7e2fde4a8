"""DeleteRecords (API key 21): moves the log start offset of partitions forward (KIP-107)."""

from ottla_wire.message import Int16, Int32, Int64, Message, Struct


class DeleteRecordsPartition(Struct):
    """A partition and the offset below which records go; -1 is the high watermark."""

    partition_index: Int32
    offset: Int64


class DeleteRecordsTopic(Struct):
    """The partitions of one topic."""

    name: str
    partitions: list[DeleteRecordsPartition]


class DeleteRecordsRequest(Message, key=21, versions="0-2", flexible="2+"):
    """Deletes the records below given offsets."""

    topics: list[DeleteRecordsTopic]
    timeout_ms: Int32


class DeleteRecordsPartitionResult(Struct):
    """The log start offset that a partition has now."""

    partition_index: Int32
    low_watermark: Int64
    error_code: Int16 = 0


class DeleteRecordsTopicResult(Struct):
    """How it went for one topic."""

    name: str
    partitions: list[DeleteRecordsPartitionResult]


class DeleteRecordsResponse(Message, key=21, versions="0-2", flexible="2+"):
    """How it went, by topic and partition."""

    throttle_time_ms: Int32 = 0
    topics: list[DeleteRecordsTopicResult]
