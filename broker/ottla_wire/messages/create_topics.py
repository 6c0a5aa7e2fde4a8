"""CreateTopics (API key 19): creates topics (KIP-4)."""

from uuid import UUID

from ottla_wire.message import Int8, Int16, Int32, Message, Struct, since, tagged


class CreatableReplicaAssignment(Struct):
    """The brokers that hold one partition."""

    partition_index: Int32
    broker_ids: list[Int32]


class CreatableTopicConfig(Struct):
    """A setting of the topic."""

    name: str
    value: str | None


class CreatableTopic(Struct):
    """A topic to create; -1 partitions or replicas take the broker's default (KIP-464)."""

    name: str
    num_partitions: Int32
    replication_factor: Int16
    assignments: list[CreatableReplicaAssignment]
    configs: list[CreatableTopicConfig]


class CreateTopicsRequest(Message, key=19, versions="2-7", flexible="5+"):
    """Creates topics, or only checks that they could be created."""

    topics: list[CreatableTopic]
    timeout_ms: Int32 = 60000
    validate_only: bool = False


class CreatableTopicConfigs(Struct):
    """A setting that the new topic has, and where it comes from."""

    name: str
    value: str | None
    read_only: bool
    config_source: Int8 = -1
    is_sensitive: bool


class CreatableTopicResult(Struct):
    """How it went for one topic, and what came of it."""

    name: str
    topic_id: UUID = since("7+", default=UUID(int=0), ignorable=True)
    error_code: Int16 = 0
    error_message: str | None = None
    topic_config_error_code: Int16 = tagged(0, versions="5+", default=0, ignorable=True)
    num_partitions: Int32 = since("5+", default=-1, ignorable=True)
    replication_factor: Int16 = since("5+", default=-1, ignorable=True)
    configs: list[CreatableTopicConfigs] | None = since("5+", factory=list, ignorable=True)


class CreateTopicsResponse(Message, key=19, versions="2-7", flexible="5+"):
    """How it went, by topic."""

    throttle_time_ms: Int32 = 0
    topics: list[CreatableTopicResult]
