"""EndTxn (API key 26): commits or aborts a transaction (KIP-98); from version 5 on it bumps the epoch (KIP-890)."""

from ottla_wire.message import Int16, Int32, Int64, Message, since


class EndTxnRequest(Message, key=26, versions="0-5", flexible="3+"):
    """Commits or aborts the transaction of a producer."""

    transactional_id: str
    producer_id: Int64
    producer_epoch: Int16
    committed: bool


class EndTxnResponse(Message, key=26, versions="0-5", flexible="3+"):
    """Whether the outcome is decided, and the producer id and epoch to go on with."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    producer_id: Int64 = since("5+", default=-1, ignorable=True)
    producer_epoch: Int16 = since("5+", default=-1, ignorable=True)
