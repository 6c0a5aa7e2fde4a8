"""UnregisterBroker (API key 64): takes a broker that is gone out of the cluster (KIP-500)."""

from ottla_wire.message import Int16, Int32, Message


class UnregisterBrokerRequest(Message, key=64, versions="0", flexible="0+"):
    """Names the broker."""

    broker_id: Int32


class UnregisterBrokerResponse(Message, key=64, versions="0", flexible="0+"):
    """Whether the broker was unregistered."""

    throttle_time_ms: Int32 = 0
    error_code: Int16 = 0
    error_message: str | None = None
