"""AlterReplicaLogDirs (API key 34): moves replicas between the log directories of a broker (KIP-113)."""

from ottla_wire.message import Int16, Int32, Message, Struct


class AlterReplicaLogDirTopic(Struct):
    """The partitions of one topic that go to a directory."""

    name: str
    partitions: list[Int32]


class AlterReplicaLogDir(Struct):
    """A directory and what is to move there."""

    path: str
    topics: list[AlterReplicaLogDirTopic]


class AlterReplicaLogDirsRequest(Message, key=34, versions="1-2", flexible="2+"):
    """Moves replicas to the directories named."""

    dirs: list[AlterReplicaLogDir]


class AlterReplicaLogDirPartitionResult(Struct):
    """How it went for one partition."""

    partition_index: Int32
    error_code: Int16 = 0


class AlterReplicaLogDirTopicResult(Struct):
    """How it went for one topic."""

    topic_name: str
    partitions: list[AlterReplicaLogDirPartitionResult]


class AlterReplicaLogDirsResponse(Message, key=34, versions="1-2", flexible="2+"):
    """How it went, by topic and partition."""

    throttle_time_ms: Int32 = 0
    results: list[AlterReplicaLogDirTopicResult]
