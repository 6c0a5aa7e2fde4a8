"""SaslHandshake, API key 17."""

from ottla_wire.message import Int16, Message


class SaslHandshakeRequest(Message, key=17, versions="0-1", flexible="none"):
    mechanism: str


class SaslHandshakeResponse(Message, key=17, versions="0-1", flexible="none"):
    error_code: Int16 = 0
    mechanisms: list[str]
