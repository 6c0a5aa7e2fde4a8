"""ListPartitionReassignments (API key 46): which partitions are on the move (KIP-455)."""

from ottla_wire.message import Int16, Int32, Message, Struct


class ListPartitionReassignmentsTopics(Struct):
    """The partitions of one topic to look at."""

    name: str
    partition_indexes: list[Int32]


class ListPartitionReassignmentsRequest(Message, key=46, versions="0", flexible="0+"):
    """Names partitions; null looks at all."""

    timeout_ms: Int32 = 60000
    topics: list[ListPartitionReassignmentsTopics] | None = None


class OngoingPartitionReassignment(Struct):
    """The replicas of a partition that is on the move, with those to be added and removed."""

    partition_index: Int32
    replicas: list[Int32]
    adding_replicas: list[Int32]
    removing_replicas: list[Int32]


class OngoingTopicReassignment(Struct):
    """The partitions of one topic that are on the move."""

    name: str
    partitions: list[OngoingPartitionReassignment]


class ListPartitionReassignmentsResponse(Message, key=46, versions="0", flexible="0+"):
    """The reassignments that are under way."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: str | None = None
    topics: list[OngoingTopicReassignment]
