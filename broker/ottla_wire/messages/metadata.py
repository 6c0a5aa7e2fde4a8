"""Metadata (API key 3): the brokers of the cluster, topics and partitions with their leaders.

Version 0 asks for all topics by an empty list; later ones by null, and for none by an empty list.
"""

from uuid import UUID

from ottla_wire.message import Int16, Int32, Message, Struct, between, field, since


class MetadataRequestTopic(Struct):
    """A topic, given by name or by id."""

    topic_id: UUID = since("10+", default=UUID(int=0), ignorable=True)
    name: str | None = field(nullable="10+")


class MetadataRequest(Message, key=3, versions="0-13", flexible="9+"):
    """Names topics, and says whether to create those that are missing."""

    topics: list[MetadataRequestTopic] | None = field(nullable="1+")
    allow_auto_topic_creation: bool = since("4+", default=True)
    include_cluster_authorized_operations: bool = between("8-10", default=False)
    include_topic_authorized_operations: bool = since("8+", default=False)


class MetadataResponseBroker(Struct):
    """A broker and where it listens."""

    node_id: Int32
    host: str
    port: Int32
    rack: str | None = since("1+", default=None, ignorable=True)


class MetadataResponsePartition(Struct):
    """A partition: leader, replicas, in-sync and offline ones."""

    error_code: Int16 = 0
    partition_index: Int32
    leader_id: Int32
    leader_epoch: Int32 = since("7+", default=-1, ignorable=True)
    replica_nodes: list[Int32]
    isr_nodes: list[Int32]
    offline_replicas: list[Int32] = since("5+", factory=list, ignorable=True)


class MetadataResponseTopic(Struct):
    """A topic and its partitions."""

    error_code: Int16 = 0
    name: str | None = field(nullable="12+")
    topic_id: UUID = since("10+", default=UUID(int=0), ignorable=True)
    is_internal: bool = since("1+", default=False, ignorable=True)
    partitions: list[MetadataResponsePartition]
    topic_authorized_operations: Int32 = since("8+", default=-(2**31))


class MetadataResponse(Message, key=3, versions="0-13", flexible="9+"):
    """The cluster as the answering broker sees it."""

    throttle_time_ms: Int32 = since("3+", default=0, ignorable=True)
    brokers: list[MetadataResponseBroker]
    cluster_id: str | None = since("2+", default=None, ignorable=True)
    controller_id: Int32 = since("1+", default=-1, ignorable=True)
    topics: list[MetadataResponseTopic]
    cluster_authorized_operations: Int32 = between("8-10", default=-(2**31))
    error_code: Int16 = since("13+", default=0, ignorable=True)
