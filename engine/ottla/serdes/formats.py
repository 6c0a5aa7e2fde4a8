"""JSON and msgpack: of a type, or of whatever they can hold.

What is written of a type can be read as that type. The library writes whatever it is given, so a value that is not of
the type's own class is read again before it is written. Within a Struct or dataclass nothing is looked at: what its
fields are is what their annotations say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec
import orjson

from ottla.errors import ConfigError
from ottla.serdes.codec import Codec, Exact

JSON: Codec[Any] = Codec("json", msgspec.json.Encoder().encode, orjson.loads)
"""Untyped JSON. Encoded by msgspec, which also writes Structs, dataclasses, dates and UUIDs."""

MSGPACK: Codec[Any] = Codec("msgpack", msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode)
"""Untyped msgpack."""


def json(type_: Any = Any) -> Codec[Any]:
    """JSON of a type, or of whatever JSON can hold. Raises `ConfigError` for a type msgspec cannot describe."""
    if type_ is Any or type_ is None:
        return JSON
    decode = _decoder(msgspec.json.Decoder, type_)
    # A float may be NaN or infinite, which JSON has not.
    encode, exact = _checked(msgspec.json.Encoder().encode, decode, class_of(type_, bool, int, str, bytes))
    return Codec(f"json[{type_name(type_)}]", encode, decode, type_, exact=exact)


def msgpack(type_: Any = Any) -> Codec[Any]:
    """Msgpack of a type, or of whatever msgpack can hold. Raises `ConfigError` for a type msgspec cannot describe."""
    if type_ is Any or type_ is None:
        return MSGPACK
    codec = unchecked_msgpack(type_)
    encode, exact = _checked(codec.encode, codec.decode, class_of(type_, bool, int, float, str, bytes))
    return replace(codec, encode=encode, exact=exact)


def unchecked_msgpack(type_: Any) -> Codec[Any]:
    """Msgpack of a type for what Ottla makes by itself, which is of that type. Raises what `msgpack` does."""
    if type_ is Any or type_ is None:
        return MSGPACK
    decode = _decoder(msgspec.msgpack.Decoder, type_)
    return Codec(f"msgpack[{type_name(type_)}]", msgspec.msgpack.Encoder().encode, decode, type_)


def typed(codec: Codec[Any], type_: Any) -> Codec[Any]:
    """A codec of plain values (dicts, lists, numbers, text) made one of `type_`, by msgspec's conversion."""
    write: Callable[[Any], bytes] = codec.encode
    read = codec.decode

    def decode(data: bytes) -> Any:
        return msgspec.convert(read(data), type_)

    encode, exact = _checked(lambda value: write(msgspec.to_builtins(value)), decode, class_of(type_))
    return Codec(f"{codec.name}[{type_name(type_)}]", encode, decode, type_, exact=exact)


def type_name(type_: Any) -> str:
    """`Flight` for a class, the source form for `list[int]` and other generic types."""
    is_class = isinstance(type_, type) and get_origin(type_) is None
    return type_.__name__ if is_class else str(type_).replace("typing.", "")


def _decoder(make: Callable[[Any], Any], type_: Any) -> Callable[[bytes], Any]:
    try:
        decode: Callable[[bytes], Any] = make(type_).decode
    except TypeError as error:
        raise ConfigError(f"{type_name(type_)} cannot be a key or value type: {error}") from error
    return decode


def _checked(
    write: Callable[[Any], bytes], decode: Callable[[bytes], Any], of: type | None
) -> tuple[Callable[[Any], bytes], Exact | None]:
    """A function that writes only what can be read again, for which it need not look at values of a class."""

    def encode(value: Any) -> bytes:
        data = write(value)
        if type(value) is not of:
            decode(data)
        return data

    return encode, None if of is None else Exact(of, write)


def class_of(type_: Any, *plain: type) -> type | None:
    """The class whose instances are values of the type: a Struct's, a dataclass's, or one of `plain`. None for a type
    that says more of its values than their class."""
    if get_origin(type_) in (Union, UnionType):  # No codec sees None.
        others = [each for each in get_args(type_) if each is not NoneType]
        return class_of(others[0], *plain) if len(others) == 1 else None
    if isinstance(type_, type) and (type_ in plain or issubclass(type_, msgspec.Struct) or is_dataclass(type_)):
        return type_
    return None
