"""ConsumerGroupDescribe (API key 69): shows groups of the new protocol (KIP-848)."""

from uuid import UUID

from ottla_wire.message import Int8, Int16, Int32, Message, Struct, since


class ConsumerGroupDescribeRequest(Message, key=69, versions="0-1", flexible="0+"):
    """Names the groups to describe."""

    group_ids: list[str]
    include_authorized_operations: bool


class TopicPartitions(Struct):
    """Partitions of one topic, given by id and name."""

    topic_id: UUID
    topic_name: str
    partitions: list[Int32]


class Assignment(Struct):
    """The partitions that a member has, or is to have."""

    topic_partitions: list[TopicPartitions]


class Member(Struct):
    """A member of a group: its subscription, and its current and target assignment."""

    member_id: str
    instance_id: str | None = None
    rack_id: str | None = None
    member_epoch: Int32
    client_id: str
    client_host: str
    subscribed_topic_names: list[str]
    subscribed_topic_regex: str | None = None
    assignment: Assignment
    target_assignment: Assignment
    member_type: Int8 = since("1+", default=-1, ignorable=True)


class DescribedGroup(Struct):
    """The state of one group."""

    error_code: Int16 = 0
    error_message: str | None = None
    group_id: str
    group_state: str
    group_epoch: Int32
    assignment_epoch: Int32
    assignor_name: str
    members: list[Member]
    authorized_operations: Int32 = -(2**31)


class ConsumerGroupDescribeResponse(Message, key=69, versions="0-1", flexible="0+"):
    """The groups asked for, each with an error of its own."""

    throttle_time_ms: Int32 = 0
    groups: list[DescribedGroup]
