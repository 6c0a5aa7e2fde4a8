"""OffsetForLeaderEpoch (API key 23): where leader epochs end, to find where logs diverge (KIP-101)."""

from ottla_wire.message import Int16, Int32, Int64, Message, Struct, since


class OffsetForLeaderPartition(Struct):
    """A partition and the epoch whose end is sought."""

    partition: Int32
    current_leader_epoch: Int32 = -1
    leader_epoch: Int32


class OffsetForLeaderTopic(Struct):
    """The partitions of one topic."""

    topic: str
    partitions: list[OffsetForLeaderPartition]


class OffsetForLeaderEpochRequest(Message, key=23, versions="2-4", flexible="4+"):
    """Looks up where epochs end; the replica id is -1 for consumers."""

    replica_id: Int32 = since("3+", default=-2, ignorable=True)
    topics: list[OffsetForLeaderTopic]


class EpochEndOffset(Struct):
    """The largest epoch not above the one asked for, and the offset after it; -1 where unknown."""

    error_code: Int16 = 0
    partition: Int32
    leader_epoch: Int32 = -1
    end_offset: Int64 = -1


class OffsetForLeaderTopicResult(Struct):
    """The partitions of one topic."""

    topic: str
    partitions: list[EpochEndOffset]


class OffsetForLeaderEpochResponse(Message, key=23, versions="2-4", flexible="4+"):
    """Where epochs end, by topic and partition."""

    throttle_time_ms: Int32 = 0
    topics: list[OffsetForLeaderTopicResult]
