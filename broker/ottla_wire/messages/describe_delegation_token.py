"""DescribeDelegationToken (API key 41): lists delegation tokens (KIP-48)."""

from ottla_wire.message import Int16, Int32, Int64, Message, Struct, since


class DescribeDelegationTokenOwner(Struct):
    """An owner whose tokens to list."""

    principal_type: str
    principal_name: str


class DescribeDelegationTokenRequest(Message, key=41, versions="1-3", flexible="2+"):
    """Names owners; null lists the tokens of all."""

    owners: list[DescribeDelegationTokenOwner] | None


class DescribedDelegationTokenRenewer(Struct):
    """A principal that may renew the token."""

    principal_type: str
    principal_name: str


class DescribedDelegationToken(Struct):
    """A token; its times are in milliseconds since the epoch."""

    principal_type: str
    principal_name: str
    token_requester_principal_type: str = since("3+", default="")
    token_requester_principal_name: str = since("3+", default="")
    issue_timestamp: Int64
    expiry_timestamp: Int64
    max_timestamp: Int64
    token_id: str
    hmac: bytes
    renewers: list[DescribedDelegationTokenRenewer]


class DescribeDelegationTokenResponse(Message, key=41, versions="1-3", flexible="2+"):
    """The tokens that the principal may see."""

    error_code: Int16 = 0
    tokens: list[DescribedDelegationToken]
    throttle_time_ms: Int32 = 0
