"""DescribeTransactions (API key 65): the state of transactional ids (KIP-664)."""

from ottla_wire.message import Int16, Int32, Int64, Message, Struct


class DescribeTransactionsRequest(Message, key=65, versions="0", flexible="0+"):
    """Names the transactional ids to describe."""

    transactional_ids: list[str]


class TopicData(Struct):
    """Partitions of one topic that take part in the transaction."""

    topic: str
    partitions: list[Int32]


class TransactionState(Struct):
    """The state of one transactional id; times in milliseconds, -1 where no transaction runs."""

    error_code: Int16 = 0
    transactional_id: str
    transaction_state: str
    transaction_timeout_ms: Int32
    transaction_start_time_ms: Int64
    producer_id: Int64
    producer_epoch: Int16
    topics: list[TopicData]


class DescribeTransactionsResponse(Message, key=65, versions="0", flexible="0+"):
    """The states, by transactional id."""

    throttle_time_ms: Int32 = 0
    transaction_states: list[TransactionState]
