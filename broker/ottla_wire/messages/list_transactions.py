"""ListTransactions (API key 66): the transactional ids that a broker coordinates (KIP-664)."""

from ottla_wire.message import Int16, Int32, Int64, Message, Struct, since


class ListTransactionsRequest(Message, key=66, versions="0-2", flexible="0+"):
    """Filters by state, producer id, minimum duration in ms, and pattern; empty matches all."""

    state_filters: list[str]
    producer_id_filters: list[Int64]
    duration_filter: Int64 = since("1+", default=-1)
    transactional_id_pattern: str | None = since("2+", default=None)


class TransactionState(Struct):
    """A transactional id, its producer id and state."""

    transactional_id: str
    producer_id: Int64
    transaction_state: str


class ListTransactionsResponse(Message, key=66, versions="0-2", flexible="0+"):
    """The matching transactional ids."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    unknown_state_filters: list[str]
    transaction_states: list[TransactionState]
