"""Bytes, text, and numbers as Kafka's own serializers write them."""

from __future__ import annotations

import uuid
from struct import Struct
from typing import TypeVar

from ottla.serdes.codec import Codec

T = TypeVar("T")


def _same(data: bytes) -> bytes:
    return data


def _bytes(data: bytes) -> bytes:
    if not isinstance(data, bytes):
        raise TypeError(f"it is of type {type(data).__name__}")
    return data


def _fixed(name: str, layout: str, type_: type[T]) -> Codec[T]:
    struct = Struct(layout)
    unpack = struct.unpack

    def decode(data: bytes) -> T:
        value: T = unpack(data)[0]
        return value

    return Codec(name, struct.pack, decode, type_)


RAW: Codec[bytes] = Codec("raw", _bytes, _same, bytes)
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

BOOLEAN: Codec[bool] = _fixed("boolean", "?", bool)
"""1 byte, as Kafka's BooleanSerializer."""

UUID: Codec[uuid.UUID] = Codec(
    "uuid", lambda value: str(value).encode(), lambda data: uuid.UUID(data.decode()), uuid.UUID
)
"""The 36 characters of a UUID, as Kafka's UUIDSerializer."""
