"""Protocol Buffers without a registry: the bare message. Needs the extra `protobuf`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ottla.errors import ConfigError
from ottla.serdes.codec import Codec


def protobuf(message: type[Any]) -> Codec[Any]:
    """Messages of a class that protoc has generated. Raises `ConfigError` for what is none."""
    return Codec(f"protobuf[{full_name(message)}]", *conversions(message), message)


def conversions(message: type[Any]) -> tuple[Callable[[Any], bytes], Callable[[bytes | memoryview], Any]]:
    """From a message of the class to bytes, and back."""

    def encode(value: Any) -> bytes:
        if not isinstance(value, message):
            raise TypeError(f"it is of type {type(value).__name__}")
        data: bytes = value.SerializeToString(deterministic=True)  # Equal keys must be equal bytes.
        return data

    return encode, message.FromString


def full_name(message: type[Any]) -> str:
    """The message's name with its package."""
    descriptor = getattr(message, "DESCRIPTOR", None)
    if descriptor is None or not hasattr(message, "FromString"):
        raise ConfigError(f"{message!r} is no class that protoc has generated")
    name: str = descriptor.full_name
    return name
