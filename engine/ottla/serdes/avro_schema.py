"""The Avro schema of a type, as far as a type says what a schema must.

int, float, bool, str, bytes           long, double, boolean, string, bytes
datetime, date, time, UUID             logical types of long, int, long and string
list, set, tuple[X, ...]; dict[str, X] array; map
Struct, dataclass, TypedDict           record; a field's default is the schema's, so that older data can be read
Enum of text                           enum
X | None, str | int                    union
"""

from __future__ import annotations

import datetime
import decimal
import re
import uuid
from collections.abc import Sequence
from enum import Enum
from typing import Any

import msgspec
from msgspec import inspect

from ottla.errors import ConfigError
from ottla.serdes.formats import type_name

Schema = dict[str, Any] | list[Any] | str
"""An Avro schema as JSON holds it."""

AVRO_TYPES = (bytes, datetime.datetime, datetime.date, datetime.time, decimal.Decimal, uuid.UUID)
"""What Avro holds besides the types of JSON."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_PRIMITIVES = ("null", "boolean", "long", "double", "string", "bytes")

_PLAIN: dict[type[inspect.Type], Schema] = {
    inspect.NoneType: "null",
    inspect.BoolType: "boolean",
    inspect.IntType: "long",
    inspect.FloatType: "double",
    inspect.StrType: "string",
    inspect.BytesType: "bytes",
    inspect.DateTimeType: {"type": "long", "logicalType": "timestamp-micros"},
    inspect.DateType: {"type": "int", "logicalType": "date"},
    inspect.TimeType: {"type": "long", "logicalType": "time-micros"},
    inspect.UUIDType: {"type": "string", "logicalType": "uuid"},
}


def avro_schema(type_: Any) -> Schema:
    """Raises `ConfigError` for a type that does not determine a schema, saying which part of it does not."""
    try:
        described = inspect.type_info(type_)
    except TypeError as error:
        raise ConfigError(f"{type_name(type_)} cannot be a key or value type: {error}") from error
    return _Writer(type_name(type_)).schema(described)


class _Writer:
    def __init__(self, root: str) -> None:
        self._root = root
        self._named: dict[str, type] = {}

    def schema(self, of: inspect.Type) -> Schema:
        if type(of) in _PLAIN:
            return _PLAIN[type(of)]
        match of:
            case inspect.ListType() | inspect.SetType() | inspect.FrozenSetType() | inspect.VarTupleType():
                return {"type": "array", "items": self.schema(of.item_type)}
            case inspect.DictType(key_type=inspect.StrType()):
                return {"type": "map", "values": self.schema(of.value_type)}
            case inspect.UnionType():
                return self._union(of)
            case inspect.LiteralType():
                return "string" if all(isinstance(each, str) for each in of.values) else "long"
            case inspect.EnumType():
                return self._enum(of.cls)
            case inspect.StructType(tag_field=None, array_like=False):
                return self._record(of.cls, of.fields)
            case inspect.DataclassType() | inspect.TypedDictType():
                return self._record(of.cls, of.fields)
        kind = type(of).__name__.removesuffix("Type").lower()
        raise ConfigError(f"{self._root} has a part ({kind}) of which no Avro schema follows: give the schema, schema=")

    def _union(self, of: inspect.UnionType) -> Schema:
        branches = [self.schema(each) for each in of.types]
        if len({_kind(each) for each in branches}) < len(branches):
            raise ConfigError(
                f"{self._root} has a union of two types that cannot be told apart in Avro: give the schema, schema="
            )
        return sorted(branches, key=lambda branch: branch != "null")

    def _enum(self, cls: type[Enum]) -> Schema:
        symbols = [member.value for member in cls]
        if all(isinstance(each, int) for each in symbols):
            return "long"
        if not all(isinstance(each, str) and _NAME.fullmatch(each) for each in symbols):
            return "string"
        return self._reference(cls) or {"type": "enum", "name": cls.__name__, "symbols": symbols}

    def _record(self, cls: type, fields: Sequence[inspect.Field]) -> Schema:
        if (known := self._reference(cls)) is not None:
            return known
        return {"type": "record", "name": cls.__name__, "fields": [self._field(each) for each in fields]}

    def _reference(self, cls: type) -> str | None:
        """The name of a type whose schema was written before: Avro has it once."""
        known = self._named.get(cls.__name__)
        if known is None:
            self._named[cls.__name__] = cls
            return None
        if known is not cls:
            raise ConfigError(f"{self._root} has two types named {cls.__name__}, which Avro takes for one: rename one")
        return cls.__name__

    def _field(self, field: inspect.Field) -> dict[str, Any]:
        written: dict[str, Any] = {"name": field.encode_name, "type": self.schema(field.type)}
        default = _default(field)
        kinds = _KINDS_OF.get(type(default), ())
        if kinds:
            written["default"] = default
            if isinstance(written["type"], list):  # A union's default is of its first branch.
                written["type"].sort(key=lambda branch: _kind(branch) not in kinds)
        return written


_KINDS_OF: dict[type, tuple[str, ...]] = {
    type(None): ("null",),
    bool: ("boolean",),
    int: ("long",),
    float: ("double",),
    str: ("string", "enum"),
    list: ("array",),
    dict: ("map", "record"),
}
"""What a default may be of; those of other types are left out of the schema."""


def _default(field: inspect.Field) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default, builtin_types=AVRO_TYPES)
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default_factory(), builtin_types=AVRO_TYPES)
    return msgspec.NODEFAULT


def _kind(schema: Schema) -> str:
    """What tells the branches of a union apart; a name stands for a record."""
    if isinstance(schema, dict):
        return str(schema["type"])
    return schema if schema in _PRIMITIVES else "record"
