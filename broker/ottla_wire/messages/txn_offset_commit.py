"""TxnOffsetCommit (API key 28): stores a group's offsets as part of a transaction (KIP-98, KIP-447)."""

from ottla_wire.message import Int16, Int32, Int64, Message, Struct, since


class TxnOffsetCommitRequestPartition(Struct):
    """The offset to commit for one partition, with the client's metadata."""

    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: Int32 = since("2+", default=-1, ignorable=True)
    committed_metadata: str | None


class TxnOffsetCommitRequestTopic(Struct):
    """The partitions of one topic."""

    name: str
    partitions: list[TxnOffsetCommitRequestPartition]


class TxnOffsetCommitRequest(Message, key=28, versions="0-5", flexible="3+"):
    """Commits offsets that count once the transaction does."""

    transactional_id: str
    group_id: str
    producer_id: Int64
    producer_epoch: Int16
    generation_id: Int32 = since("3+", default=-1)
    member_id: str = since("3+", default="")
    group_instance_id: str | None = since("3+", default=None)
    topics: list[TxnOffsetCommitRequestTopic]


class TxnOffsetCommitResponsePartition(Struct):
    """How it went for one partition."""

    partition_index: Int32
    error_code: Int16 = 0


class TxnOffsetCommitResponseTopic(Struct):
    """How it went for one topic."""

    name: str
    partitions: list[TxnOffsetCommitResponsePartition]


class TxnOffsetCommitResponse(Message, key=28, versions="0-5", flexible="3+"):
    """How it went, by topic and partition."""

    throttle_time_ms: Int32 = 0
    topics: list[TxnOffsetCommitResponseTopic]
