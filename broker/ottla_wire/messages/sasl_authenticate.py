"""SaslAuthenticate, API key 36."""

from ottla_wire.message import Int16, Int64, Message, since


class SaslAuthenticateRequest(Message, key=36, versions="0-2", flexible="2+"):
    auth_bytes: bytes


class SaslAuthenticateResponse(Message, key=36, versions="0-2", flexible="2+"):
    error_code: Int16 = 0
    error_message: str | None = None
    auth_bytes: bytes
    session_lifetime_ms: Int64 = since("1+", default=0, ignorable=True)
