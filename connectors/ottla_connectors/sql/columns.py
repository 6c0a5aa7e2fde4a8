"""The table of a row type, and the values of a row as the table's columns take them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime
from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from ottla_connectors.row_types import Column, columns_of

_TYPES: dict[Any, type[sa.types.TypeEngine[Any]]] = {
    bool: sa.Boolean,
    int: sa.BigInteger,
    float: sa.Double,
    str: sa.Text,
    bytes: sa.LargeBinary,
    datetime: sa.DateTime,
    date: sa.Date,
}


def table_of(row_type: type, name: str, primary_key: Collection[str], metadata: sa.MetaData) -> sa.Table:
    """The table that holds rows of this type: one column per field, NOT NULL unless the field may be None.

    Fields of other types than the plain ones become text that holds JSON. Times are stored in UTC without a zone, which
    every database can compare.
    """
    columns = columns_of(row_type)
    return sa.Table(
        name,
        metadata,
        *(
            sa.Column(
                column.name,
                _TYPES.get(column.plain_type, sa.Text)(),
                primary_key=column.name in primary_key,
                nullable=column.nullable,
                autoincrement=False,
            )
            for column in columns
        ),
    )


def row_parameters(row_type: type) -> Callable[[Any], dict[str, Any]]:
    """A function from a row's value to the parameters of its INSERT."""
    columns = columns_of(row_type)
    take = [(column.name, attrgetter(column.attribute), _conversion(column)) for column in columns]

    def parameters(value: Any) -> dict[str, Any]:
        return {
            name: field if (field := get(value)) is None or convert is None else convert(field)
            for name, get, convert in take
        }

    return parameters


def missing_columns(wanted: sa.Table, existing: Sequence[str]) -> list[str]:
    """The columns that an existing table lacks."""
    return [column.name for column in wanted.columns if column.name not in existing]


def _conversion(column: Column) -> Callable[[Any], Any] | None:
    if column.plain_type is datetime:
        return _utc
    if column.plain_type in _TYPES:
        return None
    return lambda field: msgspec.json.encode(field).decode()


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
