"""Rows out of the records of a file: typed, with key and event time, or malformed with the reason.

Pure: lines in, rows out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter, itemgetter
from typing import Any, Protocol

import msgspec

from ottla_connectors.contract import MalformedRow, Row
from ottla_connectors.errors import ConfigError
from ottla_connectors.files.config import FileConfig
from ottla_connectors.files.csv_records import CsvRecords
from ottla_connectors.files.lines import Lines
from ottla_connectors.row_types import Column, columns_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Reader(Protocol):
    """Reads one row after the other. One reader per format."""

    def read(self) -> tuple[Row | MalformedRow, int, int] | None:
        """A row or a malformed one, the offset after it, and the number of lines up to there; None at the end."""


class _Unusable(Exception):  # noqa: N818
    """A row whose key or event time cannot be taken."""


class Stamp:
    """Gives a value its key and event time, and so makes a row of it."""

    def __init__(self, config: FileConfig, row_type: type | None) -> None:
        self._path = config.path
        self._key_name, self._key = config.key, _getter(config.key, row_type, config.path)
        self._time_name, self._time = config.timestamp, _getter(config.timestamp, row_type, config.path)
        self._as_of_ms = None if config.as_of is None else _milliseconds(config.as_of)

    def row(self, value: Any, line: int, data: bytes) -> Row | MalformedRow:
        """The row at `line`, or why there is none."""
        try:
            key = None if self._key is None else self._key_of(value, self._key)
            time = self._as_of_ms if self._time is None else self._time_of(value, self._time)
        except _Unusable as error:
            return self.malformed(str(error), line, data)
        return Row(key, value, time, (), f"{self._path}:{line}")

    def malformed(self, reason: str, line: int, data: bytes) -> MalformedRow:
        """The report of a row that cannot be taken."""
        return MalformedRow(reason, f"{self._path}:{line}", data)

    def _key_of(self, value: Any, getter: Callable[[Any], Any]) -> str:
        key = _taken(value, getter, f"the key {self._key_name!r}")
        if key is None:
            raise _Unusable(f"column {self._key_name!r} is the key and is empty")
        return str(key)

    def _time_of(self, value: Any, getter: Callable[[Any], Any]) -> int:
        time = _taken(value, getter, f"the event time {self._time_name!r}")
        if time is None:
            raise _Unusable(f"column {self._time_name!r} is the event time and is empty")
        try:
            milliseconds = _milliseconds(time)
        except ValueError:
            raise _Unusable(f"column {self._time_name!r} is the event time; {time!r} is none") from None
        if milliseconds < 0:
            raise _Unusable(f"column {self._time_name!r} is the event time and lies before 1970")
        return milliseconds


class CsvReader:
    """Rows of a CSV file whose header has been read. Raises ConfigError where the header lacks a column."""

    def __init__(self, lines: Lines, header: Sequence[str], config: FileConfig, row_type: type | None) -> None:
        self._records = CsvRecords(lines, config.delimiter, config.max_row_bytes, len(header))
        self._stamp = Stamp(config, row_type)
        self._row_type = row_type
        self._nulls = frozenset(config.null_values)
        self._columns = _columns_in(header, row_type, config.path)
        names = [column.name for column in self._columns]
        for setting in (config.key, config.timestamp):
            if setting is not None and row_type is None and setting not in names:
                raise ConfigError(f"{config.path}: no column {setting!r}; the header names {', '.join(header)}")
        self._takes = [(column.name, header.index(column.name), column.nullable) for column in self._columns]

    def read(self) -> tuple[Row | MalformedRow, int, int] | None:
        """See `Reader`."""
        record = self._records.read()
        if record is None:
            return None
        return self._row(record.fields, record.problem, record.line, record.data), record.end, record.last_line

    def _row(self, fields: list[str], problem: str | None, line: int, data: bytes) -> Row | MalformedRow:
        if problem is not None:
            return self._stamp.malformed(problem, line, data)
        nulls = self._nulls
        value: dict[str, Any] = {
            name: None if nullable and fields[index] in nulls else fields[index]
            for name, index, nullable in self._takes
        }
        if self._row_type is None:
            return self._stamp.row(value, line, data)
        try:
            typed: Any = msgspec.convert(value, self._row_type, strict=False)
        except msgspec.ValidationError as error:
            return self._stamp.malformed(_mismatch(value, self._columns) or str(error), line, data)
        return self._stamp.row(typed, line, data)


class JsonReader:
    """Rows of a file with one JSON object a line."""

    def __init__(self, lines: Lines, config: FileConfig, row_type: type | None) -> None:
        self._lines = lines
        self._stamp = Stamp(config, row_type)
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(row_type or dict[str, Any]).decode

    def read(self) -> tuple[Row | MalformedRow, int, int] | None:
        """See `Reader`."""
        while (line := self._lines.read()) is not None:
            if line.data.strip():
                return self._row(line.data, line.number, cut=line.cut), line.end, line.number
        return None

    def _row(self, data: bytes, number: int, *, cut: bool) -> Row | MalformedRow:
        if cut:
            return self._stamp.malformed(f"the line is longer than {len(data)} bytes", number, data)
        try:
            value = self._decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return self._stamp.malformed(str(error), number, data)
        return self._stamp.row(value, number, data)


def _taken(value: Any, getter: Callable[[Any], Any], what: str) -> Any:
    try:
        return getter(value)
    except KeyError:
        return None
    except Exception as error:  # a property of the app's class may raise anything, which spoils this row alone
        raise _Unusable(f"{what} cannot be computed: {error!r}") from error


def _columns_in(header: Sequence[str], row_type: type | None, path: str) -> list[Column]:
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ConfigError(f"{path}: the header names column {twice[0]!r} more than once")
    if row_type is None:
        return [Column(name, name, str, str, nullable=True, required=False) for name in header]
    columns = columns_of(row_type)
    missing = [column.name for column in columns if column.required and column.name not in header]
    if missing:
        raise ConfigError(f"{path}: no column {missing[0]!r}; the header names {', '.join(header)}")
    return [column for column in columns if column.name in header]


def _getter(name: str | None, row_type: type | None, path: str) -> Callable[[Any], Any] | None:
    if name is None:
        return None
    if row_type is None:
        return itemgetter(name)
    for column in columns_of(row_type):
        if column.name == name:
            return attrgetter(column.attribute)
    if not hasattr(row_type, name):
        raise ConfigError(f"{path}: {row_type.__name__} has no column or property {name!r}")
    return attrgetter(name)


def _milliseconds(time: Any) -> int:
    if isinstance(time, str):
        time = msgspec.convert(time, datetime)  # ISO 8601; its ValidationError is a ValueError
    if isinstance(time, datetime):
        aware = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        return (aware - _EPOCH) // _MILLISECOND
    if isinstance(time, int):
        return time
    raise ValueError(time)


def _mismatch(value: dict[str, Any], columns: Sequence[Column]) -> str | None:
    """Which column is not of its type. Only reached for a malformed row, so it may take its time."""
    for column in columns:
        if column.name not in value:
            continue
        try:
            msgspec.convert(value[column.name], column.annotation, strict=False)
        except msgspec.ValidationError as error:
            return f"column {column.name!r} holds {value[column.name]!r}: {error}"
    return None
