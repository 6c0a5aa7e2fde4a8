"""How keys and values become bytes and back.

A `Codec` is a pair of plain functions, bound once per topic or table so that decoding a batch is
`list(map(codec.decode, raw))` with no Python frame per event. `codec_for` picks one from a type:

    str, bytes      as they are (UTF-8), which is what other Kafka clients write for keys
    anything typed  JSON by msgspec: Struct, dataclass, TypedDict, NamedTuple, builtin and generic types
    Any             untyped JSON, decoded by orjson; encoded by msgspec, which also writes Structs and dataclasses

State that only Ottla reads (tables that agents write, windows) is msgpack by `state_codec_for`: unlike JSON it keeps
NaN, infinity and bytes as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_origin

import msgspec
import orjson

from ottla.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Codec(Generic[T]):
    """Two functions, the name by which codecs are told apart, and the type that `decode` gives, where it is known.

    `decode` raises any exception for bytes that are no `T`, `encode` any for a value that cannot be written; the
    engine turns both into `DecodeError` and `EncodeError` for the event concerned. Neither ever sees None: a null key
    or value passes by the codec.
    """

    name: str
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]
    type: Any = Any


def _identity(data: bytes) -> bytes:
    return data


RAW: Codec[bytes] = Codec("raw", _identity, _identity, bytes)
TEXT: Codec[str] = Codec("text", str.encode, bytes.decode, str)
JSON: Codec[Any] = Codec("json", msgspec.json.Encoder().encode, orjson.loads)


def codec_for(type_: Any) -> Codec[Any]:
    """The codec of a topic's key or value type. A `Codec` is taken as it is.

    Raises `ConfigError` for a type msgspec cannot describe.
    """
    if isinstance(type_, Codec):
        return type_
    if type_ is Any or type_ is None:
        return JSON
    if type_ is str:
        return TEXT
    if type_ is bytes:
        return RAW
    return Codec(
        f"json[{type_name(type_)}]", msgspec.json.Encoder().encode, _decoder(msgspec.json.Decoder, type_), type_
    )


def state_codec_for(type_: Any) -> Codec[Any]:
    """The codec of state kept for a type: as `codec_for`, with msgpack in the place of JSON."""
    if isinstance(type_, Codec):
        return type_
    if type_ is str:
        return TEXT
    if type_ is bytes:
        return RAW
    if type_ is None:
        type_ = Any
    decode = _decoder(msgspec.msgpack.Decoder, type_)
    return Codec(f"msgpack[{type_name(type_)}]", msgspec.msgpack.Encoder().encode, decode, type_)


def state_key_codec_for(type_: Any) -> Codec[Any]:
    """The codec of a table's keys. Untyped keys are JSON; a list comes back as a tuple, so that it can be a key."""
    return _ANY_KEY if type_ is None or type_ is Any else state_codec_for(type_)


def _decode_any_key(data: bytes) -> Any:
    key = orjson.loads(data)
    return tuple(key) if isinstance(key, list) else key


_ANY_KEY: Codec[Any] = Codec("json", msgspec.json.Encoder().encode, _decode_any_key)


def type_name(type_: Any) -> str:
    """`Flight` for a class, the source form for `list[int]` and other generic types."""
    return (
        type_.__name__ if isinstance(type_, type) and get_origin(type_) is None else str(type_).replace("typing.", "")
    )


def _decoder(make: Callable[[Any], Any], type_: Any) -> Callable[[bytes], Any]:
    try:
        decode: Callable[[bytes], Any] = make(type_).decode
    except TypeError as error:
        raise ConfigError(f"{type_name(type_)} cannot be a key or value type: {error}") from error
    return decode
