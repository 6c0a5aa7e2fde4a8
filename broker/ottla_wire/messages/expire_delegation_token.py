"""ExpireDelegationToken (API key 40): brings a token's expiry forward (KIP-48)."""

from ottla_wire.message import Int16, Int32, Int64, Message


class ExpireDelegationTokenRequest(Message, key=40, versions="1-2", flexible="2+"):
    """Names the token by its HMAC; a negative period expires it at once."""

    hmac: bytes
    expiry_time_period_ms: Int64


class ExpireDelegationTokenResponse(Message, key=40, versions="1-2", flexible="2+"):
    """When the token expires, in milliseconds since the epoch."""

    error_code: Int16 = 0
    expiry_timestamp_ms: Int64
    throttle_time_ms: Int32 = 0
