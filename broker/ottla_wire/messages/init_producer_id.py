"""InitProducerId (API key 22): gives a producer its id and epoch, fencing an older one (KIP-98, KIP-360)."""

from ottla_wire.message import Int16, Int32, Int64, Message, since


class InitProducerIdRequest(Message, key=22, versions="0-5", flexible="2+"):
    """Asks for an id; with a transactional id, also ends what an older producer left open."""

    transactional_id: str | None
    transaction_timeout_ms: Int32
    producer_id: Int64 = since("3+", default=-1)
    producer_epoch: Int16 = since("3+", default=-1)


class InitProducerIdResponse(Message, key=22, versions="0-5", flexible="2+"):
    """The producer's id and epoch."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    producer_id: Int64 = -1
    producer_epoch: Int16
