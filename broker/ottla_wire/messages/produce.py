"""Produce (API key 0): appends record batches to partitions; by topic id from version 13 on (KIP-516)."""

from uuid import UUID

from ottla_wire.message import Int16, Int32, Int64, Message, Records, Struct, since, tagged, until


class PartitionProduceData(Struct):
    """A record batch for one partition."""

    index: Int32
    records: Records | None


class TopicProduceData(Struct):
    """The partitions of one topic, given by name or by id."""

    name: str = until("0-12", default="", ignorable=True)
    topic_id: UUID = since("13+", default=UUID(int=0), ignorable=True)
    partition_data: list[PartitionProduceData]


class ProduceRequest(Message, key=0, versions="3-13", flexible="9+"):
    """Appends batches; `acks` is 0 for no response, 1 to wait for the leader, -1 for all in-sync replicas."""

    transactional_id: str | None = None
    acks: Int16
    timeout_ms: Int32
    topic_data: list[TopicProduceData]


class BatchIndexAndErrorMessage(Struct):
    """A record that had the batch refused (KIP-467)."""

    batch_index: Int32
    batch_index_error_message: str | None = None


class LeaderIdAndEpoch(Struct):
    """The leader that the client did not know of."""

    leader_id: Int32 = -1
    leader_epoch: Int32 = -1


class PartitionProduceResponse(Struct):
    """The offset that a batch got, or why it was refused."""

    index: Int32
    error_code: Int16 = 0
    base_offset: Int64
    log_append_time_ms: Int64 = -1
    log_start_offset: Int64 = since("5+", default=-1, ignorable=True)
    record_errors: list[BatchIndexAndErrorMessage] = since("8+", factory=list, ignorable=True)
    error_message: str | None = since("8+", default=None, ignorable=True)
    current_leader: LeaderIdAndEpoch | None = tagged(0, versions="10+", default=None)


class TopicProduceResponse(Struct):
    """The partitions of one topic."""

    name: str = until("0-12", default="", ignorable=True)
    topic_id: UUID = since("13+", default=UUID(int=0), ignorable=True)
    partition_responses: list[PartitionProduceResponse]


class NodeEndpoint(Struct):
    """Where a leader named in the response listens (KIP-951)."""

    node_id: Int32
    host: str
    port: Int32
    rack: str | None = None


class ProduceResponse(Message, key=0, versions="3-13", flexible="9+"):
    """How it went, by topic and partition."""

    responses: list[TopicProduceResponse]
    throttle_time_ms: Int32 = 0
    node_endpoints: list[NodeEndpoint] = tagged(0, versions="10+", factory=list)
