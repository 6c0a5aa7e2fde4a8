"""ConsumerGroupHeartbeat (API key 68): joins, keeps up and leaves a group, all in one (KIP-848).

Fields that did not change since the last heartbeat are null.
"""

from uuid import UUID

from ottla_wire.message import Int16, Int32, Message, Struct, since


class TopicPartitions(Struct):
    """Partitions of one topic, given by id."""

    topic_id: UUID
    partitions: list[Int32]


class ConsumerGroupHeartbeatRequest(Message, key=68, versions="0-1", flexible="0+"):
    """A member reports what it subscribes to and owns; epoch 0 joins, -1 leaves, -2 leaves for a while."""

    group_id: str
    member_id: str
    member_epoch: Int32
    instance_id: str | None = None
    rack_id: str | None = None
    rebalance_timeout_ms: Int32 = -1
    subscribed_topic_names: list[str] | None = None
    subscribed_topic_regex: str | None = since("1+", default=None)
    server_assignor: str | None = None
    topic_partitions: list[TopicPartitions] | None = None


class Assignment(Struct):
    """The partitions that the member is to own now."""

    topic_partitions: list[TopicPartitions]


class ConsumerGroupHeartbeatResponse(Message, key=68, versions="0-1", flexible="0+"):
    """The member's epoch, and a new assignment where there is one."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: str | None = None
    member_id: str | None = None
    member_epoch: Int32
    heartbeat_interval_ms: Int32
    assignment: Assignment | None = None
