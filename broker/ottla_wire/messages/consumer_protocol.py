"""The embedded consumer protocol."""

from ottla_wire.message import Int32, Message, Struct, since


class TopicPartition(Struct):
    topic: str
    partitions: list[Int32]


class ConsumerProtocolSubscription(Message, versions="0-3", flexible="none"):
    topics: list[str]
    user_data: bytes | None = None
    owned_partitions: list[TopicPartition] = since("1+", factory=list, ignorable=True)
    generation_id: Int32 = since("2+", default=-1, ignorable=True)
    rack_id: str | None = since("3+", default=None, ignorable=True)


class ConsumerProtocolAssignment(Message, versions="0-3", flexible="none"):
    assigned_partitions: list[TopicPartition]
    user_data: bytes | None = None
