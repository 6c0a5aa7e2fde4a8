"""Avro without a registry: the bare binary form, whose readers know its schema. Needs the extra `avro`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from io import BytesIO
from types import ModuleType
from typing import Any

import msgspec

from ottla.errors import ConfigError
from ottla.serdes.avro_schema import AVRO_TYPES, Schema, avro_schema
from ottla.serdes.codec import Codec
from ottla.serdes.formats import class_of, type_name

Parsed = Any
"""A schema as fastavro has parsed it."""


def avro(type_: Any = Any, *, schema: Schema | None = None) -> Codec[Any]:
    """Avro of a type, as its schema says or as `schema` does (JSON as Python has it, or the name of a primitive).

    Without a type, values are what fastavro makes: dicts, lists, numbers, text, datetimes. Raises `ConfigError` for a
    schema that is none, for a type of which none follows, and where fastavro is not installed.
    """
    written = avro_schema(type_) if schema is None else schema
    parsed = parse(written)
    builtins, convert = conversions(type_)
    write, read = fastavro_module().schemaless_writer, fastavro_module().schemaless_reader

    def encode(value: Any) -> bytes:
        out = BytesIO()
        write(out, parsed, builtins(value))
        return out.getvalue()

    def decode(data: bytes) -> Any:
        source = BytesIO(data)
        value = convert(read(source, parsed, None))
        check_read(source)
        return value

    return Codec(f"avro[{type_name(type_)}]", encode, decode, type_)


def parse(schema: Schema, referenced: Mapping[str, Any] | None = None) -> Parsed:
    """The schema made ready for fastavro, with the named types of other schemas it refers to. Raises `ConfigError`."""
    fastavro = fastavro_module()
    try:
        return fastavro.parse_schema(copy.deepcopy(schema), named_schemas=dict(referenced or {}))
    except Exception as error:  # fastavro raises errors of its own, and KeyError for what lacks a part
        raise ConfigError(f"this is no Avro schema ({error}): {schema!r:.200}") from error


def named_types(schema: Schema, referenced: Mapping[str, Any]) -> dict[str, Any]:
    """The named types that a schema declares or refers to, for one that refers to it."""
    found = dict(referenced)
    fastavro_module().parse_schema(copy.deepcopy(schema), named_schemas=found)
    return found


def conversions(type_: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """From a value of the type to what fastavro writes, and back.

    A schema may say less than the type (any text, and not a UUID), so that what is not of the type's own class is
    looked at.
    """
    if type_ is Any:
        return _same, _same
    of = class_of(type_)

    def convert(plain: Any) -> Any:
        return msgspec.convert(plain, type_, builtin_types=AVRO_TYPES)

    def builtins(value: Any) -> Any:
        plain = msgspec.to_builtins(value, builtin_types=AVRO_TYPES)
        if type(value) is not of:
            convert(plain)
        return plain

    return builtins, convert


def check_read(source: BytesIO) -> None:
    """Raises `ValueError` if a value was read from less than all there is."""
    left = len(source.getbuffer()) - source.tell()
    if left:
        raise ValueError(f"{left} bytes are left over behind the value")


def _same(value: Any) -> Any:
    return value


def fastavro_module() -> ModuleType:
    """The library. Raises `ConfigError` where it is not installed."""
    try:
        import fastavro
    except ImportError:
        raise ConfigError("Avro needs fastavro: pip install 'ottla[avro]'") from None
    return fastavro
