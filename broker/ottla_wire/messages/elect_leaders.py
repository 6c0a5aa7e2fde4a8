"""ElectLeaders (API key 43): has leaders elected, preferred or unclean (KIP-460)."""

from ottla_wire.message import Int8, Int16, Int32, Message, Struct, since


class TopicPartitions(Struct):
    """Partitions of one topic."""

    topic: str
    partitions: list[Int32]


class ElectLeadersRequest(Message, key=43, versions="0-2", flexible="2+"):
    """The kind of election, and the partitions; null is all."""

    election_type: Int8 = since("1+", default=0)
    topic_partitions: list[TopicPartitions] | None
    timeout_ms: Int32 = 60000


class PartitionResult(Struct):
    """How it went for one partition."""

    partition_id: Int32
    error_code: Int16 = 0
    error_message: str | None = None


class ReplicaElectionResult(Struct):
    """How it went for one topic."""

    topic: str
    partition_result: list[PartitionResult]


class ElectLeadersResponse(Message, key=43, versions="0-2", flexible="2+"):
    """How it went, by topic and partition."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = since("1+", default=0)
    replica_election_results: list[ReplicaElectionResult]
