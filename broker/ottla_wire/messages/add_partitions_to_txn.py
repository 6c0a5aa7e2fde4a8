"""AddPartitionsToTxn (API key 24): partitions join a transaction before they are written to (KIP-98).

Up to version 3 a producer sends one transaction of its own; from version 4 on brokers send batches of them (KIP-890).
"""

from ottla_wire.message import Int16, Int32, Int64, Message, Struct, since, until


class AddPartitionsToTxnTopic(Struct):
    """Partitions of one topic."""

    name: str
    partitions: list[Int32]


class AddPartitionsToTxnTransaction(Struct):
    """The partitions of one transaction, to be added or only checked."""

    transactional_id: str
    producer_id: Int64
    producer_epoch: Int16
    verify_only: bool = False
    topics: list[AddPartitionsToTxnTopic]


class AddPartitionsToTxnRequest(Message, key=24, versions="0-5", flexible="3+"):
    """Adds partitions to transactions."""

    transactions: list[AddPartitionsToTxnTransaction] = since("4+", factory=list)
    v3_and_below_transactional_id: str = until("0-3", default="")
    v3_and_below_producer_id: Int64 = until("0-3", default=0)
    v3_and_below_producer_epoch: Int16 = until("0-3", default=0)
    v3_and_below_topics: list[AddPartitionsToTxnTopic] = until("0-3", factory=list)


class AddPartitionsToTxnPartitionResult(Struct):
    """How it went for one partition."""

    partition_index: Int32
    partition_error_code: Int16


class AddPartitionsToTxnTopicResult(Struct):
    """How it went for the partitions of one topic."""

    name: str
    results_by_partition: list[AddPartitionsToTxnPartitionResult]


class AddPartitionsToTxnResult(Struct):
    """How it went for one transaction."""

    transactional_id: str
    topic_results: list[AddPartitionsToTxnTopicResult]


class AddPartitionsToTxnResponse(Message, key=24, versions="0-5", flexible="3+"):
    """How it went, by transaction, topic and partition."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = since("4+", default=0, ignorable=True)
    results_by_transaction: list[AddPartitionsToTxnResult] = since("4+", factory=list)
    results_by_topic_v3_and_below: list[AddPartitionsToTxnTopicResult] = until("0-3", factory=list)
