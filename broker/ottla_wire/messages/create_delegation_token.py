"""CreateDelegationToken (API key 38): issues a token that authenticates in its owner's stead (KIP-48)."""

from ottla_wire.message import Int16, Int32, Int64, Message, Struct, since


class CreatableRenewers(Struct):
    """A principal that may renew the token."""

    principal_type: str
    principal_name: str


class CreateDelegationTokenRequest(Message, key=38, versions="1-3", flexible="2+"):
    """Asks for a token."""

    owner_principal_type: str | None = since("3+", default="")
    owner_principal_name: str | None = since("3+", default="")
    renewers: list[CreatableRenewers]
    max_lifetime_ms: Int64


class CreateDelegationTokenResponse(Message, key=38, versions="1-3", flexible="2+"):
    """The token, its secret and its times, in milliseconds since the epoch."""

    error_code: Int16 = 0
    principal_type: str
    principal_name: str
    token_requester_principal_type: str = since("3+", default="")
    token_requester_principal_name: str = since("3+", default="")
    issue_timestamp_ms: Int64
    expiry_timestamp_ms: Int64
    max_timestamp_ms: Int64
    token_id: str
    hmac: bytes
    throttle_time_ms: Int32 = 0
