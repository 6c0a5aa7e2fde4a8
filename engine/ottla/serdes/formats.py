"""JSON and msgpack: of a type, checked while it is decoded, or of whatever they can hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_origin

import msgspec
import orjson

from ottla.errors import ConfigError
from ottla.serdes.codec import Codec

JSON: Codec[Any] = Codec("json", msgspec.json.Encoder().encode, orjson.loads)
"""Untyped JSON. Encoded by msgspec, which also writes Structs, dataclasses, dates and UUIDs."""

MSGPACK: Codec[Any] = Codec("msgpack", msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode)
"""Untyped msgpack."""


def json(type_: Any = Any) -> Codec[Any]:
    """JSON of a type, or of whatever JSON can hold. Raises `ConfigError` for a type msgspec cannot describe."""
    if type_ is Any or type_ is None:
        return JSON
    decode = _decoder(msgspec.json.Decoder, type_)
    return Codec(f"json[{type_name(type_)}]", _encoder(msgspec.json.Encoder().encode, type_), decode, type_)


def msgpack(type_: Any = Any) -> Codec[Any]:
    """Msgpack of a type, or of whatever msgpack can hold. Raises `ConfigError` for a type msgspec cannot describe."""
    if type_ is Any or type_ is None:
        return MSGPACK
    decode = _decoder(msgspec.msgpack.Decoder, type_)
    return Codec(f"msgpack[{type_name(type_)}]", _encoder(msgspec.msgpack.Encoder().encode, type_), decode, type_)


def typed(codec: Codec[Any], type_: Any) -> Codec[Any]:
    """A codec of plain values (dicts, lists, numbers, text) made one of `type_`, by msgspec's conversion."""
    encode: Callable[[Any], bytes] = codec.encode
    decode = codec.decode
    return Codec(
        f"{codec.name}[{type_name(type_)}]",
        lambda value: encode(msgspec.to_builtins(value)),
        lambda data: msgspec.convert(decode(data), type_),
        type_,
    )


def type_name(type_: Any) -> str:
    """`Flight` for a class, the source form for `list[int]` and other generic types."""
    is_class = isinstance(type_, type) and get_origin(type_) is None
    return type_.__name__ if is_class else str(type_).replace("typing.", "")


def _encoder(encode: Callable[[Any], bytes], type_: Any) -> Callable[[Any], bytes]:
    """What writes only values of a type that is plain enough to tell by a look.

    msgspec's encoders write whatever they are given; where a type has fields, another may stand for it (a dict for a
    Struct), but a text among numbers could not be read again.
    """
    if type_ not in (int, float, bool):
        return encode
    accepted = (int, float) if type_ is float else type_

    def encode_checked(value: Any) -> bytes:
        if not isinstance(value, accepted) or (value.__class__ is bool and type_ is not bool):
            raise TypeError(f"it is of type {type(value).__name__}")
        return encode(value)

    return encode_checked


def _decoder(make: Callable[[Any], Any], type_: Any) -> Callable[[bytes], Any]:
    try:
        decode: Callable[[bytes], Any] = make(type_).decode
    except TypeError as error:
        raise ConfigError(f"{type_name(type_)} cannot be a key or value type: {error}") from error
    return decode
