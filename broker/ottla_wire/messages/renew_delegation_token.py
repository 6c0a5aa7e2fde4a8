"""RenewDelegationToken (API key 39): puts a token's expiry off (KIP-48)."""

from ottla_wire.message import Int16, Int32, Int64, Message


class RenewDelegationTokenRequest(Message, key=39, versions="1-2", flexible="2+"):
    """Names the token by its HMAC."""

    hmac: bytes
    renew_period_ms: Int64


class RenewDelegationTokenResponse(Message, key=39, versions="1-2", flexible="2+"):
    """When the token expires, in milliseconds since the epoch."""

    error_code: Int16 = 0
    expiry_timestamp_ms: Int64
    throttle_time_ms: Int32 = 0
