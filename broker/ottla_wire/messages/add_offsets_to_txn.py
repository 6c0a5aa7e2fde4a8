"""AddOffsetsToTxn (API key 25): a producer makes a group's offsets part of its transaction (KIP-98)."""

from ottla_wire.message import Int16, Int32, Int64, Message


class AddOffsetsToTxnRequest(Message, key=25, versions="0-4", flexible="3+"):
    """Announces that offsets of a group will be committed within the transaction."""

    transactional_id: str
    producer_id: Int64
    producer_epoch: Int16
    group_id: str


class AddOffsetsToTxnResponse(Message, key=25, versions="0-4", flexible="3+"):
    """Whether the partition of the group's offsets is part of the transaction now."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
