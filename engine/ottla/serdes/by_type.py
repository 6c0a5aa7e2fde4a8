"""The codec of a type, which is what users give topics and tables in most cases.

    str, bytes      as they are (UTF-8), which is what other Kafka clients write for keys
    anything typed  JSON by msgspec: Struct, dataclass, TypedDict, NamedTuple, builtin and generic types
    Any             untyped JSON, decoded by orjson; encoded by msgspec, which also writes Structs and dataclasses

State that only Ottla reads (tables that agents write, windows) is msgpack by `state_codec_for`: unlike JSON it keeps
NaN, infinity and bytes as they are. What users' code makes is checked by `checked_state_codec_for`.

A codec is bound once per topic or table, so that decoding a batch is `list(map(codec.decode, raw))` with no Python
frame per event.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import orjson

from ottla.serdes.builtin import RAW, TEXT
from ottla.serdes.codec import Codec, Part, Serde
from ottla.serdes.formats import json, msgpack, unchecked_msgpack
from ottla.serdes.names import named


def codec_for(type_: Any, topic: str = "", part: Part = "value") -> Codec[Any]:
    """The codec of a topic's key or value type. A serde is asked for its codec; a text is the name of one (`named`).

    Raises `ConfigError` for a type msgspec cannot describe.
    """
    given = _given(type_, topic, part)
    return json(type_) if given is None else given


def state_codec_for(type_: Any, topic: str = "", part: Part = "value") -> Codec[Any]:
    """The codec of state kept for a type, in the changelog `topic`: as `codec_for`, with msgpack in JSON's place.

    It takes a value at its word: that what it writes can be read as the type is the caller's to know.
    """
    given = _given(type_, topic, part)
    return unchecked_msgpack(type_) if given is None else given


def checked_state_codec_for(type_: Any, topic: str = "", part: Part = "value") -> Codec[Any]:
    """As `state_codec_for`, for values that users' code makes: it writes none that cannot be read as the type."""
    given = _given(type_, topic, part)
    return msgpack(type_) if given is None else given


def state_key_codec_for(type_: Any, topic: str = "") -> Codec[Any]:
    """The codec of a table's keys. Untyped keys are JSON; a list comes back as a tuple, so that it can be a key.

    It writes no key that it cannot read: such a key would fail whoever looks at the others.
    """
    if type_ is None or type_ is Any:
        return _ANY_KEY
    given = _given(type_, topic, "key")
    return _read_back(unchecked_msgpack(type_)) if given is None else given


def _read_back(codec: Codec[Any]) -> Codec[Any]:
    encode, decode = codec.encode, codec.decode

    def encode_readable(key: Any) -> bytes:
        data = encode(key)
        decode(data)
        return data

    return replace(codec, encode=encode_readable)


def _given(type_: Any, topic: str, part: Part) -> Codec[Any] | None:
    """The codec that was chosen, by itself or by name, or that is the only one for a type."""
    if type_ is str:
        return TEXT
    if type_ is bytes:
        return RAW
    if isinstance(type_, Serde):
        return type_.codec(topic, part)
    if isinstance(type_, str):
        return named(type_)
    return None


def _decode_any_key(data: bytes) -> Any:
    key = orjson.loads(data)
    return tuple(key) if isinstance(key, list) else key


_ANY_KEY: Codec[Any] = Codec("json", msgspec.json.Encoder().encode, _decode_any_key)
