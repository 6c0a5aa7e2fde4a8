"""Fetch (API key 1): reads record batches from partitions, for consumers and for following replicas.

From version 7 on within a session that sends only what changed (KIP-227), from 13 on by topic id (KIP-516).
"""

from uuid import UUID

from ottla_wire.message import Int8, Int16, Int32, Int64, Message, Records, Struct, since, tagged, until


class ReplicaState(Struct):
    """Which replica fetches, and its broker's epoch (KIP-903); -1 for consumers."""

    replica_id: Int32 = -1
    replica_epoch: Int64 = -1


class FetchPartition(Struct):
    """A partition and the offset to read from."""

    partition: Int32
    current_leader_epoch: Int32 = since("9+", default=-1, ignorable=True)
    fetch_offset: Int64
    last_fetched_epoch: Int32 = since("12+", default=-1)
    log_start_offset: Int64 = since("5+", default=-1, ignorable=True)
    partition_max_bytes: Int32
    replica_directory_id: UUID = tagged(0, versions="17+", default=UUID(int=0), ignorable=True)
    high_watermark: Int64 = tagged(1, versions="18+", default=2**63 - 1, ignorable=True)


class FetchTopic(Struct):
    """The partitions of one topic, given by name or by id."""

    topic: str = until("0-12", default="", ignorable=True)
    topic_id: UUID = since("13+", default=UUID(int=0), ignorable=True)
    partitions: list[FetchPartition]


class ForgottenTopic(Struct):
    """Partitions to take out of the session."""

    topic: str = until("7-12", default="", ignorable=True)
    topic_id: UUID = since("13+", default=UUID(int=0), ignorable=True)
    partitions: list[Int32]


class FetchRequest(Message, key=1, versions="4-18", flexible="12+"):
    """Reads partitions, waiting up to `max_wait_ms` for `min_bytes`."""

    cluster_id: str | None = tagged(0, versions="12+", default=None, ignorable=True)
    replica_id: Int32 = until("0-14", default=-1)
    replica_state: ReplicaState | None = tagged(1, versions="15+", default=None)
    max_wait_ms: Int32
    min_bytes: Int32
    max_bytes: Int32 = 2**31 - 1
    isolation_level: Int8 = 0
    session_id: Int32 = since("7+", default=0, ignorable=True)
    session_epoch: Int32 = since("7+", default=-1, ignorable=True)
    topics: list[FetchTopic]
    forgotten_topics_data: list[ForgottenTopic] = since("7+", factory=list)
    rack_id: str = since("11+", default="", ignorable=True)


class EpochEndOffset(Struct):
    """The largest leader epoch that leader and follower share, and where it ends."""

    epoch: Int32 = -1
    end_offset: Int64 = -1


class LeaderIdAndEpoch(Struct):
    """The leader that the client did not know of."""

    leader_id: Int32 = -1
    leader_epoch: Int32 = -1


class SnapshotId(Struct):
    """The snapshot to fetch in place of records that are gone."""

    end_offset: Int64 = -1
    epoch: Int32 = -1


class AbortedTransaction(Struct):
    """A producer whose records from an offset on, to its next marker, are to be skipped."""

    producer_id: Int64
    first_offset: Int64


class PartitionData(Struct):
    """Record batches of one partition, whole but for the last, and how far it can be read."""

    partition_index: Int32
    error_code: Int16 = 0
    high_watermark: Int64
    last_stable_offset: Int64 = -1
    log_start_offset: Int64 = since("5+", default=-1, ignorable=True)
    diverging_epoch: EpochEndOffset | None = tagged(0, versions="12+", default=None)
    current_leader: LeaderIdAndEpoch | None = tagged(1, versions="12+", default=None)
    snapshot_id: SnapshotId | None = tagged(2, versions="12+", default=None)
    aborted_transactions: list[AbortedTransaction] | None
    preferred_read_replica: Int32 = since("11+", default=-1)
    records: Records | None


class FetchableTopicResponse(Struct):
    """The partitions of one topic."""

    topic: str = until("0-12", default="", ignorable=True)
    topic_id: UUID = since("13+", default=UUID(int=0), ignorable=True)
    partitions: list[PartitionData]


class NodeEndpoint(Struct):
    """Where a leader named in the response listens (KIP-951)."""

    node_id: Int32
    host: str
    port: Int32
    rack: str | None = None


class FetchResponse(Message, key=1, versions="4-18", flexible="12+"):
    """What was read, by topic and partition."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = since("7+", default=0, ignorable=True)
    session_id: Int32 = since("7+", default=0)
    responses: list[FetchableTopicResponse]
    node_endpoints: list[NodeEndpoint] = tagged(0, versions="16+", factory=list)
