"""What can go wrong on the wire, and Kafka's error codes.

    WireError                       everything this package raises
    ├── MalformedMessage            a peer sent bytes that are not the message they claim to be
    ├── FrameTooLarge               a peer announced a frame above the limit, or is no Kafka client at all
    ├── UnsupportedVersion          a version (or API) that the message class does not have
    ├── EncodeError                 our side built a message that the version cannot carry
    └── KafkaError                  carries an ErrorCode: what goes back to the peer in a response
        ├── CorruptRecord           CORRUPT_MESSAGE: a record batch whose bytes do not hold together
        ├── InvalidRecord           INVALID_RECORD: a well-formed batch that breaks a rule
        └── UnsupportedCompression  UNSUPPORTED_COMPRESSION_TYPE

The first two are the peer's fault and end its connection; EncodeError is a bug of ours.
"""
# ruff: noqa: N818  the names say what happened, as Kafka's error codes do

from ottla_wire.error_codes import ErrorCode

__all__ = [
    "CorruptRecord",
    "EncodeError",
    "ErrorCode",
    "FrameTooLarge",
    "InvalidRecord",
    "KafkaError",
    "MalformedMessage",
    "UnsupportedCompression",
    "UnsupportedVersion",
    "WireError",
]


class WireError(Exception):
    """Base of all errors of the wire package."""


class MalformedMessage(WireError):
    """Bytes from a peer that do not decode as the message they claim to be."""


class FrameTooLarge(WireError):
    """A frame announced as longer than the reader allows, or of negative length."""


class UnsupportedVersion(WireError):
    """An API key that has no message class, or a version outside the class's range."""


class EncodeError(WireError):
    """A message that cannot be written in the version asked for, such as a value in a field that it lacks."""


class KafkaError(WireError):
    """A failure that has a code of the protocol.

    `message` is the sentence for the response; without one, the code's own.
    """

    def __init__(self, code: ErrorCode, message: str | None = None) -> None:
        self.code = code
        self.message = message if message is not None else code.message
        super().__init__(f"{code.name}: {self.message}")


class CorruptRecord(KafkaError):
    """A record batch whose length, magic, checksum or contents do not hold together."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(ErrorCode.CORRUPT_MESSAGE, message)


class InvalidRecord(KafkaError):
    """A record batch that is whole, but breaks a rule of the format or the topic."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(ErrorCode.INVALID_RECORD, message)


class UnsupportedCompression(KafkaError):
    """A compression type that the batch or the request version does not allow."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, message)
