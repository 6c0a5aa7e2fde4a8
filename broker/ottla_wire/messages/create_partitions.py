"""CreatePartitions (API key 37): raises the number of partitions of topics (KIP-195)."""

from ottla_wire.message import Int16, Int32, Message, Struct


class CreatePartitionsAssignment(Struct):
    """The brokers that hold one new partition."""

    broker_ids: list[Int32]


class CreatePartitionsTopic(Struct):
    """A topic, the count it is to reach, and where the new partitions go."""

    name: str
    count: Int32
    assignments: list[CreatePartitionsAssignment] | None


class CreatePartitionsRequest(Message, key=37, versions="0-3", flexible="2+"):
    """Adds partitions to topics, or only checks that they could be added."""

    topics: list[CreatePartitionsTopic]
    timeout_ms: Int32
    validate_only: bool


class CreatePartitionsTopicResult(Struct):
    """How it went for one topic."""

    name: str
    error_code: Int16 = 0
    error_message: str | None = None


class CreatePartitionsResponse(Message, key=37, versions="0-3", flexible="2+"):
    """How it went, by topic."""

    throttle_time_ms: Int32 = 0
    results: list[CreatePartitionsTopicResult]
