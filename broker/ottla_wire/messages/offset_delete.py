"""OffsetDelete (API key 47): removes a group's offsets of topics it is not subscribed to (KIP-496)."""

from ottla_wire.message import Int16, Int32, Message, Struct


class OffsetDeleteRequestPartition(Struct):
    """A partition whose offset to remove."""

    partition_index: Int32


class OffsetDeleteRequestTopic(Struct):
    """The partitions of one topic."""

    name: str
    partitions: list[OffsetDeleteRequestPartition]


class OffsetDeleteRequest(Message, key=47, versions="0", flexible="none"):
    """Removes offsets of a group."""

    group_id: str
    topics: list[OffsetDeleteRequestTopic]


class OffsetDeleteResponsePartition(Struct):
    """How it went for one partition."""

    partition_index: Int32
    error_code: Int16 = 0


class OffsetDeleteResponseTopic(Struct):
    """How it went for one topic."""

    name: str
    partitions: list[OffsetDeleteResponsePartition]


class OffsetDeleteResponse(Message, key=47, versions="0", flexible="none"):
    """How it went, by topic and partition."""

    error_code: Int16 = 0
    throttle_time_ms: Int32 = 0
    topics: list[OffsetDeleteResponseTopic]
