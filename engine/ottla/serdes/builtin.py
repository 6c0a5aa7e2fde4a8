"""Bytes, text, and numbers as Kafka's own serializers write them."""

from __future__ import annotations

import uuid
from struct import Struct
from typing import TypeVar

from ottla.serdes.codec import Codec

T = TypeVar("T")


def _bool(value: bool) -> bytes:
    if type(value) is not bool:
        raise TypeError(f"it is of type {type(value).__name__}")
    return b"\1" if value else b"\0"


def _uuid(value: uuid.UUID) -> bytes:
    if not isinstance(value, uuid.UUID):
        raise TypeError(f"it is of type {type(value).__name__}")
    return str(value).encode()


def _fixed(name: str, layout: str, type_: type[T]) -> Codec[T]:
    struct = Struct(layout)
    unpack = struct.unpack

    def decode(data: bytes) -> T:
        value: T = unpack(data)[0]
        return value

    return Codec(name, struct.pack, decode, type_)


RAW: Codec[bytes] = Codec("raw", bytes.__bytes__, bytes.__bytes__, bytes)
"""Bytes as they are."""

TEXT: Codec[str] = Codec("text", str.encode, bytes.decode, str)
"""UTF-8, as Kafka's StringSerializer."""

SHORT: Codec[int] = _fixed("short", ">h", int)
"""2 bytes, big-endian, as Kafka's ShortSerializer."""

INTEGER: Codec[int] = _fixed("integer", ">i", int)
"""4 bytes, big-endian, as Kafka's IntegerSerializer."""

LONG: Codec[int] = _fixed("long", ">q", int)
"""8 bytes, big-endian, as Kafka's LongSerializer."""

FLOAT: Codec[float] = _fixed("float", ">f", float)
"""4 bytes, IEEE 754, as Kafka's FloatSerializer. Rounds to single precision."""

DOUBLE: Codec[float] = _fixed("double", ">d", float)
"""8 bytes, IEEE 754, as Kafka's DoubleSerializer."""

BOOLEAN: Codec[bool] = Codec("boolean", _bool, _fixed("boolean", "?", bool).decode, bool)
"""1 byte, as Kafka's BooleanSerializer."""

UUID: Codec[uuid.UUID] = Codec("uuid", _uuid, lambda data: uuid.UUID(data.decode()), uuid.UUID)
"""The 36 characters of a UUID, as Kafka's UUIDSerializer."""
