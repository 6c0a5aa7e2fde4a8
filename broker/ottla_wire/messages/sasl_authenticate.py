"""SaslAuthenticate (API key 36): the tokens of the SASL exchange, after SaslHandshake (KIP-152)."""

from ottla_wire.message import Int16, Int64, Message, since


class SaslAuthenticateRequest(Message, key=36, versions="0-2", flexible="2+"):
    """A token of the client."""

    auth_bytes: bytes


class SaslAuthenticateResponse(Message, key=36, versions="0-2", flexible="2+"):
    """The broker's answer, and how long the session may last (KIP-368)."""

    error_code: Int16 = 0
    error_message: str | None = None
    auth_bytes: bytes
    session_lifetime_ms: Int64 = since("1+", default=0, ignorable=True)
