"""DescribeTransactions, API key 65."""

from ottla_wire.message import Int16, Int32, Int64, Message, Struct


class DescribeTransactionsRequest(Message, key=65, versions="0", flexible="0+"):
    transactional_ids: list[str]


class TopicData(Struct):
    topic: str
    partitions: list[Int32]


class TransactionState(Struct):
    error_code: Int16 = 0
    transactional_id: str
    transaction_state: str
    transaction_timeout_ms: Int32
    transaction_start_time_ms: Int64
    producer_id: Int64
    producer_epoch: Int16
    topics: list[TopicData]


class DescribeTransactionsResponse(Message, key=65, versions="0", flexible="0+"):
    throttle_time_ms: Int32 = 0
    transaction_states: list[TransactionState]
