"""Serdes: how keys and values become bytes, in topics and in state.

A topic or table is given a type (`value=Order`, see `by_type`), a codec of this package (`value=LONG`), a serde of
schemas (`value=registry.avro(Order)`), one's own `Codec`, or the name of one (`value="json|gzip"`).
"""

from ottla.serdes.avro import avro
from ottla.serdes.builtin import (
    BOOLEAN,
    DOUBLE,
    FLOAT,
    INTEGER,
    LONG,
    RAW,
    SHORT,
    TEXT,
    UUID,
)
from ottla.serdes.by_type import checked_state_codec_for, codec_for, state_codec_for, state_key_codec_for
from ottla.serdes.codec import Codec, Part, Serde
from ottla.serdes.formats import JSON, MSGPACK, json, msgpack, type_name
from ottla.serdes.names import named, register
from ottla.serdes.protobuf import protobuf
from ottla.serdes.registry import SchemaRegistry, record_name, topic_name, topic_record_name
from ottla.serdes.transforms import BASE64, GZIP, LZ4, ZLIB, ZSTD
from ottla.serdes.unsafe_pickle import UNSAFE_PICKLE

__all__ = [
    "BASE64",
    "BOOLEAN",
    "DOUBLE",
    "FLOAT",
    "GZIP",
    "INTEGER",
    "JSON",
    "LONG",
    "LZ4",
    "MSGPACK",
    "RAW",
    "SHORT",
    "TEXT",
    "UNSAFE_PICKLE",
    "UUID",
    "ZLIB",
    "ZSTD",
    "Codec",
    "Part",
    "SchemaRegistry",
    "Serde",
    "avro",
    "checked_state_codec_for",
    "codec_for",
    "json",
    "msgpack",
    "named",
    "protobuf",
    "record_name",
    "register",
    "state_codec_for",
    "state_key_codec_for",
    "topic_name",
    "topic_record_name",
    "type_name",
]
