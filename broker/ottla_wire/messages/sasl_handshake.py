"""SaslHandshake (API key 17): agrees on the SASL mechanism (KIP-43)."""

from ottla_wire.message import Int16, Message


class SaslHandshakeRequest(Message, key=17, versions="0-1", flexible="none"):
    """Names the mechanism that the client wants."""

    mechanism: str


class SaslHandshakeResponse(Message, key=17, versions="0-1", flexible="none"):
    """Whether the broker takes it, and what it offers."""

    error_code: Int16 = 0
    mechanisms: list[str]
