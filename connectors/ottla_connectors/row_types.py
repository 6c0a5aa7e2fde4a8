"""The type of a row: an app's own class, or columns named in a config. Shared by every plugin that has columns.

A class gives one description of the data to the source, the app and the sink; columns in the config serve where there
is no app. Both become a class that msgspec can decode into, so that there is one way to check a row.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from datetime import date, datetime
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from ottla_connectors.errors import ConfigError

ColumnType: TypeAlias = Literal[
    "str", "int", "float", "bool", "datetime", "date", "str?", "int?", "float?", "bool?", "datetime?", "date?"
]
"""A column's type as a config names it; with `?` the column may be empty."""

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool, "datetime": datetime, "date": date}


class Column(msgspec.Struct, frozen=True):
    """A column: its name in the data, the attribute that holds it, its type as declared and without None."""

    name: str
    attribute: str
    annotation: Any
    plain_type: Any
    nullable: bool
    required: bool


def resolve_row_type(row_type: str | None, columns: Mapping[str, ColumnType]) -> type | None:
    """The class of the rows from the two settings that describe it, None where neither is given.

    `row_type` is `module:Class` of a msgspec Struct or a dataclass. Raises ConfigError.
    """
    if row_type is None:
        return _struct_of(columns) if columns else None
    if columns:
        raise ConfigError("row_type and columns both describe the rows; give one of them")
    module_name, _, class_name = row_type.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"row_type {row_type!r} cannot be imported: {error}; write it as module:Class") from error
    if not (isinstance(found, type) and (issubclass(found, msgspec.Struct) or dataclasses.is_dataclass(found))):
        raise ConfigError(f"row_type {row_type!r} is neither a msgspec.Struct nor a dataclass")
    return found


def columns_of(row_type: type) -> list[Column]:
    """The columns of a Struct or dataclass, in the order they are declared."""
    if issubclass(row_type, msgspec.Struct):
        return [
            _column(field.encode_name, field.name, field.type, required=field.required)
            for field in msgspec.structs.fields(row_type)
        ]
    hints = get_type_hints(row_type, include_extras=True)
    return [
        _column(
            field.name,
            field.name,
            hints[field.name],
            required=field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(cast("type[DataclassInstance]", row_type))
    ]


def _struct_of(columns: Mapping[str, ColumnType]) -> type[msgspec.Struct]:
    # Attributes are numbered: a column's name need not be a Python name, its spelling in the data is kept by `rename`.
    fields: list[tuple[str, Any]] = []
    for index, spelled in enumerate(columns.values()):
        kind = _TYPES[spelled.rstrip("?")]
        fields.append((f"column_{index}", kind | None if spelled.endswith("?") else kind))
    names = {f"column_{index}": name for index, name in enumerate(columns)}
    return msgspec.defstruct("Row", fields, rename=names, frozen=True)


def _column(name: str, attribute: str, annotation: Any, *, required: bool) -> Column:
    kind = annotation.__origin__ if get_origin(annotation) is Annotated else annotation
    options = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    given = [option for option in options if option is not type(None)]
    nullable = len(given) < len(options) or kind is Any
    return Column(name, attribute, annotation, given[0] if len(given) == 1 else Any, nullable, required)
